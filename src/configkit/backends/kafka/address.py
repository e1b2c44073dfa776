"""Where Kafka is, as whom it is asked, and on which topic changes are told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from configkit.errors import InvalidDocumentError

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Address:
    """
    One cluster, and the account there.

    Attributes:
        servers: Some of its brokers, as ``host:port`` separated by commas.
        protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
        mechanism: How SASL is done: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
        ca_file: The authorities that are trusted, as PEM; None: the system's.
        certificate_file, key_file: What this client shows to a broker that asks for it.
    """

    servers: str
    protocol: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        if not self.brokers or not all(_SERVER.fullmatch(server) for server in self.brokers):
            raise InvalidDocumentError("brokers as host:port, separated by commas", pointer="/KAFKA_BOOTSTRAP_SERVERS")
        if self.protocol not in PROTOCOLS:
            raise InvalidDocumentError(f"one of: {', '.join(PROTOCOLS)}", pointer="/KAFKA_SECURITY_PROTOCOL")
        if self.mechanism not in MECHANISMS:
            raise InvalidDocumentError(f"one of: {', '.join(MECHANISMS)}", pointer="/KAFKA_SASL_MECHANISM")
        if self.has_sasl and not (self.username and self.password):
            raise InvalidDocumentError(f"{self.protocol} needs a user and a password", pointer="/KAFKA_SASL_USERNAME")
        for file in (self.ca_file, self.certificate_file, self.key_file):
            if file is not None and not Path(file).is_file():
                raise InvalidDocumentError(f"{file} is not there; name a PEM file for Kafka's TLS")

    @property
    def brokers(self) -> list[str]:
        """The brokers, each as ``host:port``."""
        return [server.strip() for server in self.servers.split(",") if server.strip()]

    @property
    def has_sasl(self) -> bool:
        """Whether the account is proved by SASL."""
        return self.protocol.startswith("SASL_")

    def __str__(self) -> str:
        return ",".join(self.brokers)


def check_topic(topic: str) -> str:
    """Return *topic* if Kafka allows the name."""
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise InvalidDocumentError("letters, digits and . _ -, at most 249", pointer="/KAFKA_TOPIC_CONFIG_UPDATES")
    return topic
