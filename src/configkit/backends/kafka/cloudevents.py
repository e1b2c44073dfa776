"""
Events as CloudEvents 1.0 over Kafka (CloudEvents Kafka Protocol Binding 1.0.2): pure functions.

Written in structured mode; read in structured and in binary mode. An event says what changed and where, never a value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from configkit.errors import ConfigKitError
from configkit.models import AccessChanged, ConfigChanged, ConfigPath, Event, FlagChanged, RegistryChanged
from configkit.names import check_environment, check_key, check_service_name, check_text

SOURCE = "/configkit"
CONTENT_TYPE = "application/cloudevents+json; charset=UTF-8"
_PREFIX = "io.configkit."
CONFIG, FLAG, REGISTRY, ACCESS = (f"{_PREFIX}{kind}.changed" for kind in ("config", "flag", "registry", "access"))

Headers = Iterable[tuple[str, bytes | None]]
Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """What goes into a topic."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class BrokenEventError(Exception):
    """It says that it is one of ours, and is not: it cannot be read."""


def encode(event: Event, *, source: str = SOURCE) -> Record:
    """Return *event* in structured mode, keyed by what it is about. A `Resync` is no announcement: `TypeError`."""
    kind, subject, data = _described(event)
    envelope: dict[str, Any] = {"specversion": "1.0", "id": event.id, "source": source, "type": kind}  # type: ignore[union-attr]
    if subject:
        envelope["subject"] = subject
    envelope["time"] = event.at.astimezone(UTC).isoformat().replace("+00:00", "Z")  # type: ignore[union-attr]
    envelope |= {"datacontenttype": "application/json", "data": data | {"changed_by": event.changed_by}}  # type: ignore[union-attr]
    value = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    return Record((subject or kind).encode(), value, (("content-type", CONTENT_TYPE.encode()),))


def _described(event: Event) -> tuple[str, str, dict[str, Any]]:
    if isinstance(event, ConfigChanged):
        path = event.path
        where = {"environment": path.environment, "service_name": path.service_name, "key": path.key}
        return CONFIG, str(path), {"kind": "config", **where, "version": event.version, "deleted": event.deleted}
    if isinstance(event, FlagChanged):
        where = {"environment": event.environment, "name": event.name}
        subject = f"{event.environment}/{event.name}"
        return FLAG, subject, {"kind": "flag", **where, "version": event.version, "deleted": event.deleted}
    if isinstance(event, RegistryChanged):
        return REGISTRY, event.service_name, {"kind": "registry", "service_name": event.service_name}
    if isinstance(event, AccessChanged):
        return ACCESS, "", {"kind": "access"}
    raise TypeError(f"{type(event).__name__} is not announced")


def decode(headers: Headers, value: bytes | None) -> Event | None:
    """
    Return the event in a record; None: it is no CloudEvent, or none of ours.

    Raises:
        BrokenEventError: It is one of ours, and malformed.
    """
    named = {name.lower(): content.decode("utf-8", "replace") for name, content in headers if content is not None}
    try:
        if named.get("content-type", "").lower().startswith("application/cloudevents"):
            envelope = _object(value)
            data = envelope.get("data")
        elif "ce_specversion" in named:
            envelope = {name[3:]: text for name, text in named.items() if name.startswith("ce_")}
            data = _object(value) if str(envelope.get("type")).startswith(_PREFIX) else None
        else:
            return None
        read = _READERS.get(envelope.get("type", ""))
        return None if read is None else read(_Envelope(envelope), data or {})
    except (ConfigKitError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BrokenEventError(type(error).__name__) from error


def _object(content: bytes | None) -> dict[str, Any]:
    found = json.loads(content or b"")
    if not isinstance(found, dict):
        raise TypeError("not an object")
    return found


class _Envelope:
    """The attributes of a CloudEvent that every event has."""

    def __init__(self, attributes: Data) -> None:
        if attributes["specversion"] != "1.0":
            raise ValueError("not CloudEvents 1.0")
        self.id = check_text(attributes["id"], limit=1024, pointer="/id", empty=False)
        time = attributes.get("time")
        self.at = datetime.now(UTC) if time is None else _time(time)


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without an offset")
    return at.astimezone(UTC)


def _author(data: Data) -> str | None:
    author = data.get("changed_by")
    return None if author is None else check_text(author, limit=256, pointer="/changed_by")


def _version(data: Data) -> int | None:
    version = data.get("version")
    if version is not None and (type(version) is not int or not 0 < version < 2**50):
        raise ValueError("not a version")
    return version


def _deleted(data: Data) -> bool:
    deleted = data.get("deleted", False)
    if not isinstance(deleted, bool):
        raise TypeError("neither true nor false")
    return deleted


def _config(event: _Envelope, data: Data) -> Event:
    path = ConfigPath(data["environment"], data["service_name"], data["key"])
    return ConfigChanged(event.id, path, _version(data), _deleted(data), event.at, _author(data))


def _flag(event: _Envelope, data: Data) -> Event:
    environment, name = check_environment(data["environment"]), check_key(data["name"], pointer="/name")
    return FlagChanged(event.id, environment, name, _version(data), _deleted(data), event.at, _author(data))


def _registry(event: _Envelope, data: Data) -> Event:
    return RegistryChanged(event.id, check_service_name(data["service_name"], foreign=True), event.at, _author(data))


def _access(event: _Envelope, data: Data) -> Event:
    return AccessChanged(event.id, event.at, _author(data))


_READERS: dict[str, Callable[[_Envelope, Data], Event]] = {CONFIG: _config, FLAG: _flag, REGISTRY: _registry, ACCESS: _access}
