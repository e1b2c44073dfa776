"""Between the documents of the REST contract and the values of the core."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from configkit.backends.http.answers import unavailable
from configkit.errors import InvalidDocumentError
from configkit.flags.documents import document_of
from configkit.flags.model import Flag
from configkit.models import (
    AccessChanged,
    ConfigChanged,
    ConfigPath,
    ConfigVersion,
    Event,
    FlagChanged,
    RegistryChanged,
    Resync,
    ServiceInstance,
    ServiceSummary,
)

T = TypeVar("T")

Document = Mapping[str, Any]


@contextmanager
def documented(operation: str) -> Iterator[None]:
    """Turn what goes wrong on reading an answer into `UnavailableError`: the server speaks something else."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, InvalidDocumentError) as error:
        raise unavailable(operation, f"the answer is not as documented ({type(error).__name__})") from error


def config_version(document: Document) -> ConfigVersion:
    """Return the value that a `Config` is."""
    return ConfigVersion(
        path=ConfigPath(document["environment"], document["service_name"], document["key"]),
        version=whole(document["version"]),
        value=document["value"],
        is_encrypted=_flag(document["is_encrypted"]),
        ever_secret=_flag(document["ever_secret"]),
        created_at=moment(document["created_at"]),
        updated_at=moment(document["updated_at"]),
        changed_by=document.get("changed_by"),
        comment=document.get("comment"),
        masked=_flag(document["masked"]),
    )


def history_entry(path: ConfigPath, document: Document) -> ConfigVersion:
    """Return the version of *path* that an entry of its history is."""
    return ConfigVersion(
        path=path,
        version=whole(document["version"]),
        value=document["value"],
        is_encrypted=_flag(document["is_encrypted"]),
        ever_secret=_flag(document["ever_secret"]),
        created_at=moment(document["key_created_at"]),
        updated_at=moment(document["created_at"]),
        changed_by=document.get("changed_by"),
        comment=document.get("comment"),
        deleted=_flag(document["deleted"]),
        masked=_flag(document["masked"]),
    )


def flag_fields(given: Flag) -> dict[str, Any]:
    """Return the body that creates *given*."""
    return {name: value for name, value in document_of(given).items() if name not in _SERVERS_OWN}


_SERVERS_OWN = frozenset({"version", "created_at", "updated_at"})


def instance(document: Document) -> ServiceInstance:
    """Return the instance that an `Instance` is."""
    return ServiceInstance(
        service_name=document["service_name"],
        service_url=document["service_url"],
        health_check_url=document.get("health_check_url"),
        instance_id=document["instance_id"],
        status=document["status"],
        weight=document["weight"],
        zone=document.get("zone"),
        metadata=dict(document["metadata"]),
        registered_at=maybe(moment, document.get("registered_at")),
        last_health_check=maybe(moment, document.get("last_health_check")),
        expires_at=maybe(moment, document.get("expires_at")),
    )


def instance_fields(given: ServiceInstance, ttl_seconds: float | None) -> dict[str, Any]:
    """Return the body that registers *given*."""
    fields: dict[str, Any] = {
        "service_name": given.service_name,
        "service_url": given.service_url,
        "health_check_url": given.health_check_url,
        "instance_id": given.instance_id,
        "weight": given.weight,
        "zone": given.zone,
        "metadata": dict(given.metadata),
        "ttl_seconds": ttl_seconds,
    }
    return {name: value for name, value in fields.items() if value is not None}


def summary(document: Document) -> ServiceSummary:
    """Return the line of the list of services."""
    return ServiceSummary(document["service_name"], whole(document["instances"]), whole(document["healthy"]))


def event(kind: str, identity: str, document: Document) -> Event | None:
    """Return the event that a server-sent one of this *kind* tells of; None: a kind of a newer server."""
    if kind == "resync":
        return Resync(str(document.get("reason", "the server says so")))
    reader = _EVENTS.get(kind)
    return None if reader is None else reader(identity, moment(document["at"]), document)


def _config_changed(identity: str, at: datetime, document: Document) -> ConfigChanged:
    path = ConfigPath(document["environment"], document["service_name"], document["key"])
    deleted, author = _flag(document["deleted"]), document.get("changed_by")
    return ConfigChanged(identity, path, maybe(whole, document["version"]), deleted, at, author)


def _flag_changed(identity: str, at: datetime, document: Document) -> FlagChanged:
    environment, name, deleted = str(document["environment"]), str(document["name"]), _flag(document["deleted"])
    return FlagChanged(identity, environment, name, maybe(whole, document["version"]), deleted, at, document.get("changed_by"))


def _registry_changed(identity: str, at: datetime, document: Document) -> RegistryChanged:
    return RegistryChanged(identity, str(document["service_name"]), at, document.get("changed_by"))


def _access_changed(identity: str, at: datetime, document: Document) -> AccessChanged:
    return AccessChanged(identity, at, document.get("changed_by"))


_EVENTS: dict[str, Callable[[str, datetime, Document], Event]] = {
    "config": _config_changed,
    "flag": _flag_changed,
    "registry": _registry_changed,
    "access": _access_changed,
}


def moment(text: object) -> datetime:
    """Return the time that RFC 3339 *text* names, in UTC."""
    if not isinstance(text, str):
        raise TypeError("a time is text")
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError("a time without a zone")
    return parsed.astimezone(UTC)


def maybe(read: Callable[[object], T], value: object) -> T | None:
    """Return what *read* makes of *value*, or None of null."""
    return None if value is None else read(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def whole(value: object) -> int:
    """Return *value* if it is a whole number."""
    if type(value) is not int:
        raise TypeError("a whole number")
    return value
