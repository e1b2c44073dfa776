"""
Who is there, in SQL.

Leases run on the database's `Moment`: on SQLite boot id and monotonic time, so that no clock change kills or keeps
anybody; on PostgreSQL its own clock, which all servers share.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, tuple_, update

from configkit.backends.sql import schema
from configkit.backends.sql.database import Database, Moment
from configkit.backends.sql.journal import HOUSEHOLD, TOLD_ONLY, Change, SqlJournal, record
from configkit.backends.sql.leases import CLAIM, DUE, alive, asked, carried, dead, lease_of, miscounted, unchecked
from configkit.backends.sql.schema import Row
from configkit.errors import NotFoundError
from configkit.models import UNHEALTHY, UNKNOWN, HealthCheck, Origin, ServiceInstance, ServiceSummary
from configkit.names import check_service_name
from configkit.registry.lease import lease_seconds

PRUNE_EVERY = 3600.0
SWEPT_AT_ONCE = 1000

_instance = schema.instance
_IS = and_(_instance.c.service_name == bindparam("service"), _instance.c.instance_id == bindparam("id"))
# Whoever decides on an instance holds its row, where the dialect has locks for rows, and only then looks at the clock.
_TAKE = select(_instance).where(_IS).with_for_update()
_ALL = select(_instance).order_by(_instance.c.service_name, _instance.c.instance_id)
_OF_SERVICE = _ALL.where(_instance.c.service_name == bindparam("service"))


class SqlRegistry:
    """A `ServiceRegistryClient` and its `RegistryRecords`, for all processes of the deployment."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
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
            expires_at=None,
        )
        with self._database.writing("register", "instance", instance.service_name, instance.instance_id) as connection:
            moment = self._database.moment(connection)
            before = _find(connection, instance.service_name, instance.instance_id)
            known = before is not None and alive(before, moment)
            row = {**_stored(listed), "registered_at": moment.now, **lease_of(ttl, moment), **unchecked(moment)}
            if before is not None and known and before.health_check_url == instance.health_check_url:
                row.update({name: getattr(before, name) for name in _CHECK_COLUMNS})
            if before is None:
                connection.execute(insert(_instance).values(row))
            else:
                connection.execute(update(_instance).where(_at(before)).values(row))
            record(connection, moment.now, origin, _change("register", instance.service_name, instance.instance_id))
            written = _find(connection, instance.service_name, instance.instance_id)
        assert written is not None  # noqa: S101
        return _made(written), not known

    def deregister(self, service_name: str, instance_id: str, *, origin: Origin) -> None:
        """Remove the instance. Raises `NotFoundError` if it is not listed."""
        with self._database.writing("deregister") as connection:
            found = _find(connection, service_name, instance_id)
            moment = self._database.moment(connection)
            row = _living(found, service_name, instance_id, moment)
            connection.execute(delete(_instance).where(_at(row)))
            record(connection, moment.now, origin, _change("deregister", service_name, instance_id))

    def heartbeat(self, service_name: str, instance_id: str) -> datetime:
        """Renew the lease and return its new end. Raises `NotFoundError` if there is none."""
        with self._database.writing("heartbeat") as connection:
            found = _find(connection, service_name, instance_id)
            moment = self._database.moment(connection)
            row = _living(found, service_name, instance_id, moment, remedy="; register it again")
            if row.ttl is None:
                raise NotFoundError(f"{service_name}/{instance_id} has no lease: its health checks keep it listed")
            lease = lease_of(row.ttl, moment)
            connection.execute(update(_instance).where(_at(row)).values(lease))
        expires_at = lease["expires_at"]
        assert isinstance(expires_at, datetime)  # noqa: S101
        return expires_at

    def instances(self, service_name: str) -> list[ServiceInstance]:
        """Return every listed instance by id; empty for an unknown service."""
        with self._database.reading("list instances") as connection:
            rows = connection.execute(_OF_SERVICE, {"service": service_name}).all()
            moment = self._database.moment(connection)
        return [_made(row) for row in rows if alive(row, moment)]

    def services(self) -> list[ServiceSummary]:
        """Return the services that have instances, by name."""
        available: defaultdict[str, list[bool]] = defaultdict(list)
        with self._database.reading("list services") as connection:
            rows = connection.execute(_ALL).all()
            moment = self._database.moment(connection)
        for row in rows:
            if alive(row, moment):
                available[row.service_name].append(_made(row).available)
        return [ServiceSummary(name, len(each), sum(each)) for name, each in available.items()]

    def living(self) -> list[ServiceInstance]:
        """Return every listed instance of every service, in one go."""
        with self._database.reading("list all instances") as connection:
            rows = connection.execute(_ALL).all()
            moment = self._database.moment(connection)
        return [_made(row) for row in rows if alive(row, moment)]

    def due_checks(self, *, interval: float, limit: int = 100) -> list[ServiceInstance]:
        """Claim instances whose last check began at least *interval* seconds ago, the longest ago first."""
        with self._database.reading("claim checks") as connection:
            moment = self._database.moment(connection)
            if connection.execute(DUE, asked(moment, interval, 1)).first() is None:
                return []
        with self._database.writing("claim checks") as connection:
            moment = self._database.moment(connection)
            due = connection.execute(CLAIM, asked(moment, interval, limit)).all()
            for row in due:
                started = {"checked_mono": moment.mono, "boot_id": moment.boot}
                connection.execute(update(_instance).where(_at(row)).values({**carried(row, moment), **started}))
        return [_made(row) for row in due]

    def record_check(self, service_name: str, check: HealthCheck, status: str) -> None:
        """Keep what a check found, and tell where the status changed; an instance that is gone is ignored."""
        with self._database.writing("record a check") as connection:
            row = _find(connection, service_name, check.instance_id)
            moment = self._database.moment(connection)
            if row is None or not alive(row, moment):
                return
            found: dict[str, Any] = {"status": status, "last_health_check": moment.now}
            if status != row.status:
                found["unhealthy_mono"] = moment.mono if status == UNHEALTHY else None
            connection.execute(update(_instance).where(_at(row)).values({**carried(row, moment), **found}))
            if status != row.status:
                record(connection, moment.now, HOUSEHOLD, _change(TOLD_ONLY, service_name, check.instance_id))

    def sweep(self, *, unhealthy_for: float = 600.0) -> list[tuple[str, str]]:
        """Remove ended leases, and what has no lease and was unhealthy for *unhealthy_for* seconds; return their names."""
        self._prune_sometimes()
        with self._database.reading("sweep") as connection:
            rows = connection.execute(_ALL).all()
            moment = self._database.moment(connection)
        suspects = [row for row in rows if dead(row, unhealthy_for, moment) or miscounted(row, moment)]
        if not suspects:
            return []
        with self._database.writing("sweep") as connection:
            rows = connection.execute(_taken(suspects[:SWEPT_AT_ONCE])).all()
            moment = self._database.moment(connection)
            gone = [row for row in rows if dead(row, unhealthy_for, moment)]
            for row in rows:
                if miscounted(row, moment) and row not in gone:
                    _count_anew(connection, row, moment)
            for row in gone:
                connection.execute(delete(_instance).where(_at(row)))
            names = [(row.service_name, row.instance_id) for row in gone]
            if names:
                record(connection, moment.now, HOUSEHOLD, *(_change("expire", *name) for name in names))
        return names

    def _prune_sometimes(self) -> None:
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_EVERY
            self._journal.prune()


def _living(row: Row | None, service_name: str, instance_id: str, moment: Moment, *, remedy: str = "") -> Row:
    if row is None or not alive(row, moment):
        raise NotFoundError(f"{service_name}/{instance_id} is not registered (any more){remedy}")
    return row


def _count_anew(connection: Connection, row: Row, moment: Moment) -> None:
    anew = {**carried(row, moment), "unhealthy_mono": moment.mono, "boot_id": moment.boot}
    connection.execute(update(_instance).where(_at(row)).values(anew))


def _taken(rows: Sequence[Row]) -> Any:
    """Return the query that takes hold of *rows* as they are now, but for what somebody else decides on just then."""
    names = [(row.service_name, row.instance_id) for row in rows]
    return _ALL.where(tuple_(_instance.c.service_name, _instance.c.instance_id).in_(names)).with_for_update(skip_locked=True)


_CHECK_COLUMNS = ("status", "last_health_check", "checked_mono", "unhealthy_mono")


def _find(connection: Connection, service_name: str, instance_id: str) -> Row | None:
    return connection.execute(_TAKE, {"service": service_name, "id": instance_id}).one_or_none()


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
