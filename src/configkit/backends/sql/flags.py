"""Feature flags, in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from configkit.backends.sql import schema
from configkit.backends.sql.database import Database
from configkit.backends.sql.journal import Change, record
from configkit.backends.sql.schema import Row
from configkit.backends.sql.schema import flag_counter as counter
from configkit.errors import ConflictError, NotFoundError
from configkit.flags.model import Flag, FlagSet
from configkit.models import Origin, Page

_flag = schema.flag
_LARGEST = 2**63 - 1
_READ = select(_flag).where(_flag.c.environment == bindparam("environment"), _flag.c.name == bindparam("name"))
# One statement, so that the counter and the flags are of one moment. An unchanged set costs one row.
_LOAD = (
    select(counter.c.version.label("set_version"), _flag)
    .outerjoin_from(
        counter, _flag, and_(_flag.c.environment == counter.c.environment, counter.c.version.is_distinct_from(bindparam("known")))
    )
    .where(counter.c.environment == bindparam("environment"))
    .order_by(_flag.c.name)
)


class SqlFlagStore:
    """A `FlagStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, environment: str, known_version: int | None = None) -> FlagSet | None:
        """Return the whole set at one moment, or None if its version is *known_version* still."""
        with self._database.reading("load flags") as connection:
            rows = connection.execute(_LOAD, {"environment": environment, "known": known_version}).all()
        version = rows[0].set_version if rows else 0
        if version == known_version:
            return None
        return FlagSet(environment, version, MappingProxyType({row.name: _made(row) for row in rows if row.name is not None}))

    def read(self, environment: str, name: str) -> Flag:
        """Return the flag. Raises `NotFoundError`."""
        with self._database.reading("read a flag") as connection:
            return _found(connection, environment, name)

    def list(
        self, *, environments: frozenset[str] | None = None, enabled: bool | None = None, limit: int, offset: int = 0
    ) -> Page[Flag]:
        """Return flags by (environment, name)."""
        selected = []
        if environments is not None:
            selected.append(_flag.c.environment.in_(sorted(environments)))
        if enabled is not None:
            selected.append(_flag.c.is_enabled.is_(enabled))
        page = select(_flag).where(*selected).order_by(_flag.c.environment, _flag.c.name)
        with self._database.reading("list flags", snapshot=True) as connection:
            total = connection.execute(select(func.count()).select_from(_flag).where(*selected)).scalar_one()
            rows = connection.execute(page.limit(limit).offset(min(offset, _LARGEST))).all()
        return Page(tuple(_made(row) for row in rows), total, limit, offset)

    def create(self, flag: Flag, *, origin: Origin) -> Flag:
        """Add the flag. Raises `ConflictError` if it is there."""
        with self._database.writing("create a flag", "flags", flag.environment) as connection:
            now = self._database.moment(connection).now
            there = _row(connection, flag.environment, flag.name)
            if there is not None:
                raise ConflictError(f"flag {_subject(flag)} exists; update it instead", expected=0, actual=there.version)
            version = _count(connection, flag.environment)
            written = replace(flag, version=version, created_at=now, updated_at=now)
            connection.execute(insert(_flag).values(**_stored(written)))
            record(connection, now, origin, _change("create", written))
        return written

    def update(
        self, environment: str, name: str, changes: Mapping[str, Any], *, origin: Origin, expected_version: int | None = None
    ) -> Flag:
        """Apply *changes*. Raises `NotFoundError`, `ConflictError` or `InvalidDocumentError`."""
        with self._database.writing("update a flag", "flags", environment) as connection:
            now = self._database.moment(connection).now
            changed = _found(connection, environment, name, expected_version).with_changes(changes)
            written = replace(changed, version=_count(connection, environment), updated_at=now)
            connection.execute(update(_flag).where(_is(written)).values(**_stored(written)))
            record(connection, now, origin, _change("update", written))
        return written

    def delete(self, environment: str, name: str, *, origin: Origin, expected_version: int | None = None) -> None:
        """Remove the flag. Raises `NotFoundError` or `ConflictError`."""
        with self._database.writing("delete a flag", "flags", environment) as connection:
            now = self._database.moment(connection).now
            gone = _found(connection, environment, name, expected_version)
            counted = replace(gone, version=_count(connection, environment))
            connection.execute(delete(_flag).where(_is(gone)))
            record(connection, now, origin, _change("delete", counted, deleted=True))


def _count(connection: Connection, environment: str) -> int:
    """Add one to the environment's counter and return it."""
    here = counter.c.environment == environment
    if not connection.execute(update(counter).where(here).values(version=counter.c.version + 1)).rowcount:
        connection.execute(insert(counter).values(environment=environment, version=1))
    return int(connection.execute(select(counter.c.version).where(here)).scalar_one())


def _row(connection: Connection, environment: str, name: str) -> Row | None:
    return connection.execute(_READ, {"environment": environment, "name": name}).one_or_none()


def _found(connection: Connection, environment: str, name: str, expected_version: int | None = None) -> Flag:
    row = _row(connection, environment, name)
    if row is None:
        raise NotFoundError(f"flag {environment}/{name} does not exist")
    flag = _made(row)
    if expected_version is not None and flag.version != expected_version:
        raise ConflictError(f"flag {_subject(flag)} is at version {flag.version}", expected=expected_version, actual=flag.version)
    return flag


def _is(flag: Flag) -> Any:
    return and_(_flag.c.environment == flag.environment, _flag.c.name == flag.name)


def _stored(flag: Flag) -> dict[str, Any]:
    stored = {column.name: getattr(flag, column.name) for column in _flag.c}
    return {**stored, "target_users": list(flag.target_users)}


def _made(row: Row) -> Flag:
    fields = {column.name: getattr(row, column.name) for column in _flag.c}
    return Flag(**{**fields, "target_users": tuple(row.target_users)})


def _change(action: str, flag: Flag, *, deleted: bool = False) -> Change:
    return Change("flag", action, environment=flag.environment, name=flag.name, version=flag.version, deleted=deleted)


def _subject(flag: Flag) -> str:
    return f"{flag.environment}/{flag.name}"
