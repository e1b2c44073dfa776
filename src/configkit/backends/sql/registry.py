"""Who is there, in SQL: leases by boot id and monotonic time, so that no clock change kills or keeps anybody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from configkit.backends.sql import schema
from configkit.backends.sql.engine import Database
from configkit.backends.sql.journal import HOUSEHOLD, TOLD_ONLY, Change, SqlJournal, record
from configkit.backends.sql.schema import Row
from configkit.errors import NotFoundError
from configkit.models import UNHEALTHY, UNKNOWN, HealthCheck, Origin, ServiceInstance, ServiceSummary
from configkit.names import check_service_name
from configkit.registry.lease import is_alive, lease_seconds

PRUNE_EVERY = 3600.0

_instance = schema.instance
_IS = and_(_instance.c.service_name == bindparam("service"), _instance.c.instance_id == bindparam("id"))
_READ = select(_instance).where(_IS)
_ALL = select(_instance).order_by(_instance.c.service_name, _instance.c.instance_id)
_OF_SERVICE = _ALL.where(_instance.c.service_name == bindparam("service"))
_CHECKED = _ALL.where(_instance.c.health_check_url.is_not(None))


class SqlRegistry:
    """A `ServiceRegistryClient` and its `RegistryRecords`, for any number of processes on one machine."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._clock = database.clock
        self._prune_at = 0.0

    def register(
        self, instance: ServiceInstance, *, ttl_seconds: float | None = None, origin: Origin
    ) -> tuple[ServiceInstance, bool]:
        """List *instance*, replacing what its id was before; return it and whether it is new."""
        check_service_name(instance.service_name)
        ttl = lease_seconds(ttl_seconds, instance.health_check_url is not None)
        listed = replace(
            instance,
            status=UNKNOWN,
            metadata=MappingProxyType(dict(instance.metadata)),
            last_health_check=None,
            registered_at=self._clock.now(),
            expires_at=None,
        )
        with self._database.writing("register") as connection:
            before = _find(connection, instance.service_name, instance.instance_id)
            alive = before is not None and self._alive(before)
            row = {**_stored(listed), **self._lease(ttl), **_unchecked(self._clock.boot())}
            if before is not None and alive and before.health_check_url == instance.health_check_url:
                row.update({name: getattr(before, name) for name in _CHECK_COLUMNS})
            if before is None:
                connection.execute(insert(_instance).values(row))
            else:
                connection.execute(update(_instance).where(_at(before)).values(row))
            record(connection, self._clock.now(), origin, _change("register", instance.service_name, instance.instance_id))
            written = _find(connection, instance.service_name, instance.instance_id)
        assert written is not None  # noqa: S101
        return _made(written), not alive

    def deregister(self, service_name: str, instance_id: str, *, origin: Origin) -> None:
        """Remove the instance. Raises `NotFoundError` if it is not listed."""
        with self._database.writing("deregister") as connection:
            row = self._found(connection, service_name, instance_id)
            connection.execute(delete(_instance).where(_at(row)))
            record(connection, self._clock.now(), origin, _change("deregister", service_name, instance_id))

    def heartbeat(self, service_name: str, instance_id: str) -> datetime:
        """Renew the lease and return its new end. Raises `NotFoundError` if there is none."""
        with self._database.writing("heartbeat") as connection:
            row = self._found(connection, service_name, instance_id, remedy="; register it again")
            if row.ttl is None:
                raise NotFoundError(f"{service_name}/{instance_id} has no lease: its health checks keep it listed")
            lease = self._lease(row.ttl)
            connection.execute(update(_instance).where(_at(row)).values(lease))
        expires_at = lease["expires_at"]
        assert isinstance(expires_at, datetime)  # noqa: S101
        return expires_at

    def instances(self, service_name: str) -> list[ServiceInstance]:
        """Return every listed instance by id; empty for an unknown service."""
        with self._database.reading("list instances") as connection:
            rows = connection.execute(_OF_SERVICE, {"service": service_name}).all()
        return [_made(row) for row in rows if self._alive(row)]

    def services(self) -> list[ServiceSummary]:
        """Return the services that have instances, by name."""
        available: defaultdict[str, list[bool]] = defaultdict(list)
        with self._database.reading("list services") as connection:
            rows = connection.execute(_ALL).all()
        for row in rows:
            if self._alive(row):
                available[row.service_name].append(_made(row).available)
        return [ServiceSummary(name, len(each), sum(each)) for name, each in available.items()]

    def due_checks(self, *, interval: float, limit: int = 100) -> list[ServiceInstance]:
        """Claim instances whose last check began at least *interval* seconds ago, the longest ago first."""
        with self._database.reading("claim checks") as connection:
            if not self._due(connection, interval):
                return []
        with self._database.writing("claim checks") as connection:
            due = self._due(connection, interval)[:limit]
            for row in due:
                started = {"checked_mono": self._clock.monotonic(), "boot_id": self._clock.boot()}
                connection.execute(update(_instance).where(_at(row)).values({**_carried(row, self._clock.boot()), **started}))
        return [_made(row) for row in due]

    def record_check(self, service_name: str, check: HealthCheck, status: str) -> None:
        """Keep what a check found, and tell where the status changed; an instance that is gone is ignored."""
        with self._database.writing("record a check") as connection:
            row = _find(connection, service_name, check.instance_id)
            if row is None or not self._alive(row):
                return
            found: dict[str, Any] = {"status": status, "last_health_check": self._clock.now()}
            if status != row.status:
                found["unhealthy_mono"] = self._clock.monotonic() if status == UNHEALTHY else None
                record(connection, self._clock.now(), HOUSEHOLD, _change(TOLD_ONLY, service_name, check.instance_id))
            connection.execute(update(_instance).where(_at(row)).values({**_carried(row, self._clock.boot()), **found}))

    def sweep(self, *, unhealthy_for: float = 600.0) -> list[tuple[str, str]]:
        """Remove ended leases, and what has no lease and was unhealthy for *unhealthy_for* seconds; return their names."""
        self._prune_sometimes()
        with self._database.reading("sweep") as connection:
            rows = connection.execute(_ALL).all()
            if not any(self._dead(row, unhealthy_for) or self._miscounted(row) for row in rows):
                return []
        with self._database.writing("sweep") as connection:
            rows = connection.execute(_ALL).all()
            dead = [row for row in rows if self._dead(row, unhealthy_for)]
            for row in rows:
                if self._miscounted(row) and row not in dead:
                    self._count_anew(connection, row)
            for row in dead:
                connection.execute(delete(_instance).where(_at(row)))
            names = [(row.service_name, row.instance_id) for row in dead]
            if names:
                record(connection, self._clock.now(), HOUSEHOLD, *(_change("expire", *name) for name in names))
        return names

    def _prune_sometimes(self) -> None:
        if self._clock.monotonic() >= self._prune_at:
            self._prune_at = self._clock.monotonic() + PRUNE_EVERY
            self._journal.prune()

    def _lease(self, ttl: float | None) -> dict[str, Any]:
        if ttl is None:
            return {"ttl": None, "expires_mono": None, "expires_at": None, "boot_id": self._clock.boot()}
        return {
            "ttl": ttl,
            "expires_mono": self._clock.monotonic() + ttl,
            "expires_at": self._clock.now() + timedelta(seconds=ttl),
            "boot_id": self._clock.boot(),
        }

    def _found(self, connection: Connection, service_name: str, instance_id: str, *, remedy: str = "") -> Row:
        row = _find(connection, service_name, instance_id)
        if row is None or not self._alive(row):
            raise NotFoundError(f"{service_name}/{instance_id} is not registered (any more){remedy}")
        return row

    def _alive(self, row: Row) -> bool:
        return row.ttl is None or is_alive(
            row.expires_mono, row.boot_id, row.ttl, now_mono=self._clock.monotonic(), now_boot=self._clock.boot()
        )

    def _dead(self, row: Row, unhealthy_for: float) -> bool:
        if row.ttl is not None:
            return not self._alive(row)
        since = self._since(row, row.unhealthy_mono)
        return row.status == UNHEALTHY and since is not None and since >= unhealthy_for

    def _miscounted(self, row: Row) -> bool:
        """Whether an instance is unhealthy since before the machine's last start, so that nobody knows for how long."""
        return row.ttl is None and row.status == UNHEALTHY and self._since(row, row.unhealthy_mono) is None

    def _count_anew(self, connection: Connection, row: Row) -> None:
        anew = {**_carried(row, self._clock.boot()), "unhealthy_mono": self._clock.monotonic(), "boot_id": self._clock.boot()}
        connection.execute(update(_instance).where(_at(row)).values(anew))

    def _due(self, connection: Connection, interval: float) -> Sequence[Row]:
        due = []
        for row in connection.execute(_CHECKED).all():
            since = self._since(row, row.checked_mono)
            if self._alive(row) and (since is None or since >= interval):
                due.append((since is not None, row.checked_mono or 0.0, row))
        return [row for _, _, row in sorted(due, key=lambda each: each[:2])]

    def _since(self, row: Row, moment: float | None) -> float | None:
        """Return how long ago *moment* of *row* was; None: never, or before the machine's last start."""
        if moment is None or row.boot_id != self._clock.boot():
            return None
        elapsed = self._clock.monotonic() - moment
        return elapsed if elapsed >= 0 else None


_CHECK_COLUMNS = ("status", "last_health_check", "checked_mono", "unhealthy_mono")


def _unchecked(boot: str) -> dict[str, Any]:
    return {"checked_mono": None, "unhealthy_mono": None, "boot_id": boot}


def _carried(row: Row, boot: str) -> dict[str, Any]:
    """Return the columns that the machine's new run *boot* leaves without meaning; a living lease is always of this run."""
    return {} if row.boot_id == boot else _unchecked(boot)


def _find(connection: Connection, service_name: str, instance_id: str) -> Row | None:
    return connection.execute(_READ, {"service": service_name, "id": instance_id}).one_or_none()


def _at(row: Row) -> Any:
    return and_(_instance.c.service_name == row.service_name, _instance.c.instance_id == row.instance_id)


_FIELDS = (
    "service_name", "instance_id", "service_url", "health_check_url", "status", "weight", "zone", "registered_at",
    "last_health_check", "expires_at",
)  # fmt: skip


def _stored(instance: ServiceInstance) -> dict[str, Any]:
    return {**{name: getattr(instance, name) for name in _FIELDS}, "metadata": dict(instance.metadata)}


def _made(row: Row) -> ServiceInstance:
    fields = {name: getattr(row, name) for name in _FIELDS}
    return ServiceInstance(**fields, metadata=MappingProxyType(dict(row.metadata)))


def _change(action: str, service_name: str, instance_id: str) -> Change:
    return Change("registry", action, service_name=service_name, name=instance_id)
