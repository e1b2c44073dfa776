"""Where Redis is, and as whom it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from configkit.errors import InvalidDocumentError

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True)
class Tls:
    """
    Encryption, with the server's certificate and name checked.

    Attributes:
        ca_file: The authorities that are trusted, as PEM; None: the system's.
        certificate_file, key_file: What this client shows to a server that asks for it.
    """

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        for file in (self.ca_file, self.certificate_file, self.key_file):
            if file is not None and not Path(file).is_file():
                raise InvalidDocumentError(f"{file} is not there; name a PEM file for Redis' TLS")

    def context(self) -> ssl.SSLContext:
        """Return what connections are encrypted with. Raises `InvalidDocumentError` for a file that is no PEM."""
        import ssl  # noqa: PLC0415  only where it is used

        try:
            made = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file is not None:
                made.load_cert_chain(self.certificate_file, self.key_file)
        except OSError as error:
            raise InvalidDocumentError("the files for Redis' TLS cannot be used: they must be PEM, and belong together") from error
        return made


@dataclass(frozen=True, slots=True)
class Address:
    """
    One server, and the account there.

    Attributes:
        username: A user of Redis' access control lists; None: the default user.
        database: The number of the logical database.
        tls: None: nothing is encrypted.
    """

    host: str
    port: int = 6379
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
