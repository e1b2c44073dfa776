"""
The last lists of instances, shared between processes: what a process that has just started goes by while the registry is away.

A list has no version, and leases end in it without a word, so it is never an answer while the registry can be asked. It
is kept for as long as a process would serve its own last list, and served as stale as that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from configkit.errors import ConfigKitError
from configkit.models import ServiceInstance, utcnow
from configkit.ports import BlobCache

MAX_BYTES = 4 * 1024 * 1024
"""A larger list would take the shared cache longer than its deadline."""


_FIELDS = tuple(field.name for field in fields(ServiceInstance))


class SharedLists:
    """
    The lists that any process of the deployment has read lately.

    Args:
        seconds: How long a list is of use after it was read.
    """

    def __init__(self, blobs: BlobCache, *, seconds: float) -> None:
        self._blobs = blobs
        self._seconds = seconds

    def keep(self, service_name: str, instances: Sequence[ServiceInstance]) -> None:
        """Remember what the registry has just answered. Never raises."""
        listed = [{name: getattr(instance, name) for name in _FIELDS} for instance in instances]
        content = json.dumps(listed, ensure_ascii=False, separators=(",", ":"), default=_plain).encode()
        if len(content) <= MAX_BYTES:
            with suppress(ConfigKitError):
                self._blobs.keep(_name(service_name), _milliseconds(utcnow()), content, seconds=self._seconds)

    def find(self, service_name: str) -> tuple[tuple[ServiceInstance, ...], float] | None:
        """Return the last list and how many seconds ago it was read; None: there is none that is of use. Never raises."""
        try:
            there = self._blobs.load(_name(service_name))
        except ConfigKitError:
            return None
        if there is None:
            return None
        age = max(0.0, (_milliseconds(utcnow()) - there[0]) / 1000)
        instances = _decoded(service_name, there[1])
        return None if instances is None or age > self._seconds else (instances, age)


def _name(service_name: str) -> str:
    return f"registry/{service_name}"


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else dict(value)


def _decoded(service_name: str, content: bytes) -> tuple[ServiceInstance, ...] | None:
    """Return the instances that *content* is; None: it is something else, or not from this release."""
    try:
        found = json.loads(content)
        if not isinstance(found, list):
            return None
        instances = tuple(_instance(given) for given in found)
    except (ConfigKitError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return instances if all(instance.service_name == service_name for instance in instances) else None


def _instance(given: dict[str, Any]) -> ServiceInstance:
    times = {name: _time(given[name]) for name in ("registered_at", "last_health_check", "expires_at")}
    return ServiceInstance(**{**given, **times})


def _time(text: object) -> datetime | None:
    return None if text is None else datetime.fromisoformat(str(text)).astimezone(UTC)
