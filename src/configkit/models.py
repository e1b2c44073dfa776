"""
The frozen values that cross every port.

They check themselves when made, so that a value that exists is a value that is allowed. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from configkit import names
from configkit.errors import InvalidDocumentError
from configkit.values import JsonValue

T = TypeVar("T")

Status = str
HEALTHY, UNHEALTHY, UNKNOWN, STARTING, DRAINING = "healthy", "unhealthy", "unknown", "starting", "draining"
STATUSES = (HEALTHY, UNHEALTHY, UNKNOWN, STARTING, DRAINING)


def utcnow() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks for a change, and from where: what the journal keeps beside it."""

    changed_by: str = "library"
    source: str = ""

    def __post_init__(self) -> None:
        names.check_text(self.changed_by, limit=256, pointer="/changed_by")


@dataclass(frozen=True, slots=True, order=True)
class ConfigPath:
    """Where a configuration value lies: environment, service and key, each checked."""

    environment: str
    service_name: str
    key: str

    def __post_init__(self) -> None:
        names.check_environment(self.environment)
        names.check_service_name(self.service_name)
        names.check_key(self.key)

    def __str__(self) -> str:
        return f"{self.environment}/{self.service_name}/{self.key}"


@dataclass(frozen=True, slots=True, repr=False)
class ConfigVersion:
    """
    One version of a configuration value.

    Attributes:
        value: Any JSON value but null; None where *deleted* or *masked*.
        is_encrypted: The secret mark of this version.
        ever_secret: Some version of this key was secret, so every version of it is masked to whom may not read secrets.
        created_at: When the key got its first version.
        updated_at: When this version was written.
        deleted: This version is a tombstone; documents are ordered by (version, deleted).
        masked: The value was withheld.
    """

    path: ConfigPath
    version: int
    value: JsonValue
    is_encrypted: bool
    ever_secret: bool
    created_at: datetime
    updated_at: datetime
    changed_by: str | None = None
    comment: str | None = None
    deleted: bool = False
    masked: bool = False

    @property
    def order(self) -> tuple[int, bool]:
        """What decides which of two documents of one path is newer."""
        return (self.version, self.deleted)

    def __repr__(self) -> str:
        shown = "masked" if self.masked or self.ever_secret else "deleted" if self.deleted else type(self.value).__name__
        return f"<ConfigVersion {self.path} v{self.version} {shown}>"


@dataclass(frozen=True, slots=True)
class ConfigSelector:
    """
    Which keys a list is about; None means all, and nothing selects nothing.

    Attributes:
        keys: Only these keys, of any selected environment and service.
    """

    environments: frozenset[str] | None = None
    services: frozenset[str] | None = None
    keys: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list: *total* counts all of it."""

    items: tuple[T, ...]
    total: int
    limit: int
    offset: int

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def check_url(url: object, *, pointer: str) -> str:
    """
    Return *url* if it is an absolute http or https URL with a host and no user information.

    Raises:
        InvalidDocumentError: Anything else.
    """
    from urllib.parse import urlsplit  # noqa: PLC0415  seldom needed

    remedy = "an absolute http:// or https:// URL without user information, at most 2048 printable ASCII characters"
    if not isinstance(url, str) or len(url) > 2048 or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise InvalidDocumentError(remedy, pointer=pointer)
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        raise InvalidDocumentError(remedy, pointer=pointer) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.fragment or not port_ok:
        raise InvalidDocumentError(remedy, pointer=pointer)
    return url


@dataclass(frozen=True, slots=True)
class ServiceInstance:
    """
    One running copy of a service.

    Attributes:
        instance_id: Its name within the service; empty becomes a hash of service and URL.
        health_check_url: Where a GET answers 2xx while it is well; None: it counts as well while its lease lives.
        weight: Its share among its peers when calls are balanced by weight; 0 to 65535.
        expires_at: When its lease ends unless renewed; None: a checker, not a lease, owns its life.
    """

    service_name: str
    service_url: str
    health_check_url: str | None = None
    instance_id: str = ""
    status: Status = UNKNOWN
    weight: int = 1
    zone: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    registered_at: datetime | None = None
    last_health_check: datetime | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        names.check_service_name(self.service_name, foreign=True)
        check_url(self.service_url, pointer="/service_url")
        if self.health_check_url is not None:
            check_url(self.health_check_url, pointer="/health_check_url")
        if not self.instance_id:
            object.__setattr__(self, "instance_id", default_instance_id(self.service_name, self.service_url))
        names.check_instance_id(self.instance_id)
        if self.status not in STATUSES:
            raise InvalidDocumentError(f"one of: {', '.join(STATUSES)}", pointer="/status")
        if type(self.weight) is not int or not 0 <= self.weight <= 65535:
            raise InvalidDocumentError("a whole number from 0 to 65535", pointer="/weight")
        if self.zone is not None:
            names.check_zone(self.zone)
        _check_metadata(self.metadata)

    @property
    def available(self) -> bool:
        """Whether calls may be sent to it: healthy, or nobody checks it and its lease lives."""
        return self.status == HEALTHY or (self.status == UNKNOWN and self.health_check_url is None)


def default_instance_id(service_name: str, service_url: str) -> str:
    """Return the id of an instance that names none: stable for one service and URL."""
    import hashlib  # noqa: PLC0415  seldom needed

    return hashlib.sha256(f"{service_name}\n{service_url}".encode()).hexdigest()[:32]


def _check_metadata(metadata: Mapping[str, str]) -> None:
    remedy = "at most 64 texts of at most 1024 characters, under names of at most 128"
    if not isinstance(metadata, Mapping) or len(metadata) > 64:
        raise InvalidDocumentError(remedy, pointer="/metadata")
    for name, value in metadata.items():
        names.check_text(name, limit=128, pointer="/metadata", empty=False)
        names.check_text(value, limit=1024, pointer="/metadata")


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """How many instances of a service are listed, and how many of them are available."""

    service_name: str
    instances: int
    healthy: int


@dataclass(frozen=True, slots=True)
class Instances:
    """
    The instances of one service.

    Attributes:
        stale: The registry could not be reached: this is the last list that was read.
    """

    items: tuple[ServiceInstance, ...]
    stale: bool = False


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """
    What one health check of one instance found.

    Attributes:
        error: A short reason without any of the answer's content, such as ``timeout``.
    """

    instance_id: str
    healthy: bool
    response_time_ms: float
    status_code: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """
    A configuration value changed.

    Attributes:
        id: Unique and, within one deployment, the place to resume from.
        version: The version now there; None: read it again.
    """

    id: str
    path: ConfigPath
    version: int | None
    deleted: bool
    at: datetime
    changed_by: str | None = None


@dataclass(frozen=True, slots=True)
class FlagChanged:
    """A flag changed; *version* is the environment's counter after the change (None: read it again)."""

    id: str
    environment: str
    name: str
    version: int | None
    deleted: bool
    at: datetime
    changed_by: str | None = None


@dataclass(frozen=True, slots=True)
class RegistryChanged:
    """Instances of a service came, went, or changed their health."""

    id: str
    service_name: str
    at: datetime
    changed_by: str | None = None


@dataclass(frozen=True, slots=True)
class AccessChanged:
    """Tokens were created or revoked."""

    id: str
    at: datetime
    changed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Resync:
    """Events may have been missed: everything known must be read again before it is called fresh."""

    reason: str


Event = ConfigChanged | FlagChanged | RegistryChanged | AccessChanged | Resync
