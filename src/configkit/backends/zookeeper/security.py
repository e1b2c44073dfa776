"""How a process proves to ZooKeeper who it is, and who may change what it writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from configkit.errors import InvalidDocumentError

Acl = Literal["open", "creator", "creator_read"]


@dataclass(frozen=True, slots=True)
class Security:
    """
    Credentials and access rules.

    Attributes:
        tls: Encrypt the connection; the server's certificate and its name are always checked.
        ca: File of the certificates to trust (PEM); None: the system's.
        certificate, key, key_password: Of the client (PEM), where the server asks for one.
        username, password: For SASL, or else ZooKeeper's own digest scheme.
        sasl: The mechanism, ``DIGEST-MD5`` or ``GSSAPI`` (with the process's ticket); None: no SASL.
        acl: What nodes written here allow: ``open`` (everybody everything), ``creator`` (only the same credentials) or
            ``creator_read`` (everybody may read).
    """

    tls: bool = False
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sasl: str | None = None
    acl: Acl = "open"

    def __post_init__(self) -> None:
        if self.sasl not in (None, "DIGEST-MD5", "GSSAPI"):
            raise InvalidDocumentError("DIGEST-MD5 or GSSAPI", pointer="/ZOOKEEPER_SASL_MECHANISM")
        if self.sasl == "DIGEST-MD5" and (self.username is None or self.password is None):
            raise InvalidDocumentError("DIGEST-MD5 needs a user name and a password", pointer="/ZOOKEEPER_USERNAME")
        if self.acl not in ("open", "creator", "creator_read"):
            raise InvalidDocumentError("open, creator or creator_read", pointer="/ZOOKEEPER_ACL")
        if self.acl != "open" and self.sasl is None and self.username is None:
            raise InvalidDocumentError("creator needs credentials: ZOOKEEPER_USERNAME or SASL", pointer="/ZOOKEEPER_ACL")
        if self.sasl is None and self.username is not None and ":" in self.username:
            raise InvalidDocumentError("a user name without ':'", pointer="/ZOOKEEPER_USERNAME")
