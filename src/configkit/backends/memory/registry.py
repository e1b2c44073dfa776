"""Who is there, in memory."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from configkit.backends.memory.journal import Change, MemoryJournal
from configkit.errors import NotFoundError
from configkit.models import UNHEALTHY, UNKNOWN, HealthCheck, Origin, RegistryChanged, ServiceInstance, ServiceSummary, utcnow
from configkit.names import check_service_name
from configkit.registry.lease import is_alive, lease_seconds

_BOOT = "this process"
_SWEEPER = Origin("configkit")


@dataclass(slots=True)
class _Listing:
    instance: ServiceInstance
    ttl: float | None
    expires: float = 0.0
    unhealthy_since: float = 0.0
    checked: float = -math.inf


class MemoryRegistry:
    """
    A `ServiceRegistryClient` and its `RegistryRecords`.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, journal: MemoryJournal, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._listings: dict[tuple[str, str], _Listing] = {}

    def register(
        self, instance: ServiceInstance, *, ttl_seconds: float | None = None, origin: Origin
    ) -> tuple[ServiceInstance, bool]:
        """List *instance*, replacing what its id was before; return it and whether it is new."""
        check_service_name(instance.service_name)
        ttl = lease_seconds(ttl_seconds, instance.health_check_url is not None)
        name = (instance.service_name, instance.instance_id)
        with self._journal.change() as change:
            now = self._clock()
            before = self._listings.get(name)
            if before is not None and not _alive(before, now):
                before = None
            self._listings[name] = listing = _listed(instance, ttl, before, now, change.at)
            self._tell("register", name, origin, change)
            return _shown(listing, now, change.at), before is None

    def deregister(self, service_name: str, instance_id: str, *, origin: Origin) -> None:
        """Remove the instance. Raises `NotFoundError` if it is not listed."""
        name = (service_name, instance_id)
        with self._journal.change() as change:
            self._found(name)
            del self._listings[name]
            self._tell("deregister", name, origin, change)

    def heartbeat(self, service_name: str, instance_id: str) -> datetime:
        """Renew the lease and return its new end. Raises `NotFoundError` if there is none."""
        with self._journal.lock:
            listing = self._found((service_name, instance_id), remedy="; register it again")
            if listing.ttl is None:
                raise NotFoundError(f"{service_name}/{instance_id} has no lease: its health checks keep it listed")
            listing.expires = self._clock() + listing.ttl
            return utcnow() + timedelta(seconds=listing.ttl)

    def instances(self, service_name: str) -> list[ServiceInstance]:
        """Return every listed instance by id; empty for an unknown service."""
        with self._journal.lock:
            now, at = self._clock(), utcnow()
            listed = [_shown(listing, now, at) for (service, _), listing in self._living(now) if service == service_name]
        return sorted(listed, key=lambda instance: instance.instance_id)

    def services(self) -> list[ServiceSummary]:
        """Return the services that have instances, by name."""
        available: defaultdict[str, list[bool]] = defaultdict(list)
        with self._journal.lock:
            for (service, _), listing in self._living(self._clock()):
                available[service].append(listing.instance.available)
        return [ServiceSummary(service, len(available[service]), sum(available[service])) for service in sorted(available)]

    def due_checks(self, *, interval: float, limit: int = 100) -> list[ServiceInstance]:
        """Claim instances whose last check began at least *interval* seconds ago, the longest ago first."""
        with self._journal.lock:
            now, at = self._clock(), utcnow()
            due = [
                listing
                for _, listing in self._living(now)
                if listing.instance.health_check_url is not None and now - listing.checked >= interval
            ]
            due.sort(key=lambda listing: listing.checked)
            for listing in due[:limit]:
                listing.checked = now
            return [_shown(listing, now, at) for listing in due[:limit]]

    def record_check(self, service_name: str, check: HealthCheck, status: str) -> None:
        """Keep what a check found, and tell where the status changed; an instance that is gone is ignored."""
        with self._journal.change() as change:
            now = self._clock()
            listing = self._listings.get((service_name, check.instance_id))
            if listing is None or not _alive(listing, now):
                return
            before = listing.instance.status
            listing.instance = replace(listing.instance, status=status, last_health_check=change.at)
            if status != before:
                listing.unhealthy_since = now
                change.events.append(RegistryChanged(change.next_id(), service_name, change.at))

    def sweep(self, *, unhealthy_for: float = 600.0) -> list[tuple[str, str]]:
        """Remove ended leases, and what has no lease and was unhealthy for *unhealthy_for* seconds; return their names."""
        with self._journal.change() as change:
            now = self._clock()
            dead = [name for name, listing in self._listings.items() if _dead(listing, now, unhealthy_for)]
            for name in dead:
                del self._listings[name]
                self._tell("expire", name, _SWEEPER, change)
            return dead

    def _living(self, now: float) -> Iterator[tuple[tuple[str, str], _Listing]]:
        return ((name, listing) for name, listing in self._listings.items() if _alive(listing, now))

    def _found(self, name: tuple[str, str], *, remedy: str = "") -> _Listing:
        listing = self._listings.get(name)
        if listing is None or not _alive(listing, self._clock()):
            raise NotFoundError(f"{'/'.join(name)} is not registered (any more){remedy}")
        return listing

    def _tell(self, action: str, name: tuple[str, str], origin: Origin, change: Change) -> None:
        change.record("registry", action, "/".join(name), None, origin)
        change.events.append(RegistryChanged(change.next_id(), name[0], change.at, origin.changed_by))


def _listed(instance: ServiceInstance, ttl: float | None, before: _Listing | None, now: float, at: datetime) -> _Listing:
    listed = replace(
        instance,
        status=UNKNOWN,
        metadata=MappingProxyType(dict(instance.metadata)),
        registered_at=at,
        last_health_check=None,
        expires_at=None,
    )
    listing = _Listing(listed, ttl, now + (ttl or 0.0), unhealthy_since=now)
    if before is not None and before.instance.health_check_url == instance.health_check_url:
        listing.instance = replace(listed, status=before.instance.status, last_health_check=before.instance.last_health_check)
        listing.checked = before.checked
    return listing


def _alive(listing: _Listing, now: float) -> bool:
    return listing.ttl is None or is_alive(listing.expires, _BOOT, listing.ttl, now_mono=now, now_boot=_BOOT)


def _dead(listing: _Listing, now: float, unhealthy_for: float) -> bool:
    if listing.ttl is not None:
        return not _alive(listing, now)
    return listing.instance.status == UNHEALTHY and now - listing.unhealthy_since >= unhealthy_for


def _shown(listing: _Listing, now: float, at: datetime) -> ServiceInstance:
    if listing.ttl is None:
        return listing.instance
    return replace(listing.instance, expires_at=at + timedelta(seconds=listing.expires - now))
