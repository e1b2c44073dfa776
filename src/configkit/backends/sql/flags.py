"""Feature flags, in SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from configkit.backends.sql import schema
from configkit.backends.sql.database import Database
from configkit.backends.sql.journal import Change, record
from configkit.backends.sql.schema import Row
from configkit.backends.sql.schema import flag_counter as counter
from configkit.backends.sql.schema import flag_tombstone as tombstone
from configkit.errors import ConflictError, InvalidDocumentError, NotFoundError, UnavailableError
from configkit.flags.documents import extension_of
from configkit.flags.model import Flag
from configkit.flags.references import check_needed, check_references, check_unused
from configkit.flags.snapshot import FlagChanges, FlagMap, FlagSet, Unread
from configkit.models import Origin, Page

_flag = schema.flag
_LARGEST = 2**63 - 1
_READ = select(_flag).where(_flag.c.environment == bindparam("environment"), _flag.c.name == bindparam("name"))
# One statement, so that the counter and the flags are of one moment. An unchanged set costs one row.
_SAME = _flag.c.environment == counter.c.environment
_LOAD = (
    select(counter.c.version.label("set_version"), _flag)
    .outerjoin_from(counter, _flag, and_(_SAME, counter.c.version.is_distinct_from(bindparam("known"))))
    .where(counter.c.environment == bindparam("environment"))
    .order_by(_flag.c.name)
)
_CHANGED = (
    select(counter.c.version.label("set_version"), counter.c.since, _flag)
    .outerjoin_from(counter, _flag, and_(_SAME, _flag.c.version > bindparam("since")))
    .where(counter.c.environment == bindparam("environment"))
    .order_by(_flag.c.name)
)
_GONE = select(tombstone.c.name).where(
    tombstone.c.environment == bindparam("environment"), tombstone.c.version > bindparam("since")
)
_TOTALS = select(func.count(), func.sum(_flag.c.version)).where(_flag.c.environment == bindparam("environment"))
_DEFINED = select(_flag).where(_flag.c.environment == bindparam("environment"), _flag.c.definition.is_not(None))
WITH_DEFINITIONS = 3
"""The migration that brought them."""
KEPT_CHANGES = 100_000
"""So many changes back what has changed is told; who knows only what was before loads the whole set."""


class SqlFlagStore:
    """A `FlagStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, environment: str, known_version: int | None = None) -> FlagSet | None:
        """Return the whole set at one moment, or None if its version is *known_version* still."""
        with self._database.reading("load flags") as connection:
            query = self._readable(_LOAD)
            rows = connection.execute(query, {"environment": environment, "known": known_version}).all()
        version = rows[0].set_version if rows else 0
        if version == known_version:
            return None
        return FlagSet(environment, version, _flags_of(rows))

    def changes(self, environment: str, since: int) -> FlagChanges | None:
        """Return what has changed after the set was at version *since*; None: that is not known any more."""
        asked = {"environment": environment, "since": since}
        with self._database.reading("load changes of flags", snapshot=True) as connection:
            if self._database.revision < WITH_DEFINITIONS:
                return None
            rows = connection.execute(_CHANGED, asked).all()
            if not rows or not rows[0].since <= since <= rows[0].set_version:
                return None
            gone = connection.execute(_GONE, asked).scalars().all()
            count, checksum = connection.execute(_TOTALS, asked).one()
        version, changed = rows[0].set_version, _flags_of(rows)
        return FlagChanges(environment, since, version, changed, frozenset(gone), count, int(checksum or 0))

    def _readable(self, query: Any) -> Any:
        """Return *query* without what the tables of the release before do not have."""
        if self._database.revision >= WITH_DEFINITIONS:
            return query
        return query.with_only_columns(*(column for column in query.selected_columns if column.name != "definition"))

    def read(self, environment: str, name: str) -> Flag:
        """Return the flag. Raises `NotFoundError`."""
        with self._database.reading("read a flag") as connection:
            return self._found(connection, environment, name)

    def list(
        self, *, environments: frozenset[str] | None = None, enabled: bool | None = None, limit: int, offset: int = 0
    ) -> Page[Flag]:
        """Return flags by (environment, name)."""
        selected = []
        if environments is not None:
            selected.append(_flag.c.environment.in_(sorted(environments)))
        if enabled is not None:
            selected.append(_flag.c.is_enabled.is_(enabled))
        page = select(_flag).where(*selected).order_by(_flag.c.environment, _flag.c.name).limit(limit).offset(min(offset, _LARGEST))
        with self._database.reading("list flags", snapshot=True) as connection:
            total = connection.execute(select(func.count()).select_from(_flag).where(*selected)).scalar_one()
            rows = connection.execute(self._readable(page)).all()
        flags = FlagMap({f"{row.environment}/{row.name}": Unread(row.version, _made, row) for row in rows})
        return Page(tuple(flags.values()), total, limit, offset)

    def create(self, flag: Flag, *, origin: Origin) -> Flag:
        """Add the flag. Raises `ConflictError` if it is there."""
        with self._database.writing("create a flag", "flags", flag.environment) as connection:
            now = self._database.moment(connection).now
            there = self._row(connection, flag.environment, flag.name)
            if there is not None:
                raise ConflictError(f"flag {_subject(flag)} exists; update it instead", expected=0, actual=there.version)
            check_references(flag, self._finder(connection, flag.environment))
            version = _count(connection, flag.environment)
            written = replace(flag, version=version, created_at=now, updated_at=now)
            connection.execute(insert(_flag).values(**self._stored(written)))
            if self._database.revision >= WITH_DEFINITIONS:
                connection.execute(delete(tombstone).where(_was(written)))
            record(connection, now, origin, _change("create", written))
        return written

    def update(
        self, environment: str, name: str, changes: Mapping[str, Any], *, origin: Origin, expected_version: int | None = None
    ) -> Flag:
        """Apply *changes*. Raises `NotFoundError`, `ConflictError` or `InvalidDocumentError`."""
        with self._database.writing("update a flag", "flags", environment) as connection:
            now = self._database.moment(connection).now
            before = self._found(connection, environment, name, expected_version)
            changed = before.with_changes(changes)
            check_references(changed, self._finder(connection, environment))
            check_needed(changed, before, lambda: self._defined(connection, environment))
            written = replace(changed, version=_count(connection, environment), updated_at=now)
            connection.execute(update(_flag).where(_is(written)).values(**self._stored(written)))
            record(connection, now, origin, _change("update", written))
        return written

    def delete(self, environment: str, name: str, *, origin: Origin, expected_version: int | None = None) -> None:
        """Remove the flag. Raises `NotFoundError` or `ConflictError`."""
        with self._database.writing("delete a flag", "flags", environment) as connection:
            now = self._database.moment(connection).now
            gone = self._found(connection, environment, name, expected_version)
            check_unused(name, self._defined(connection, environment))
            counted = replace(gone, version=_count(connection, environment))
            connection.execute(delete(_flag).where(_is(gone)))
            if self._database.revision >= WITH_DEFINITIONS:
                _bury(connection, counted)
            record(connection, now, origin, _change("delete", counted, deleted=True))

    def _defined(self, connection: Connection, environment: str) -> Iterable[Flag]:
        """Return the flags that have more than the plain form, which those that depend on others do."""
        if self._database.revision < WITH_DEFINITIONS:
            return ()
        return _flags_of(connection.execute(_DEFINED, {"environment": environment}).all()).values()

    def _row(self, connection: Connection, environment: str, name: str) -> Row | None:
        return connection.execute(self._readable(_READ), {"environment": environment, "name": name}).one_or_none()

    def _found(self, connection: Connection, environment: str, name: str, expected_version: int | None = None) -> Flag:
        row = self._row(connection, environment, name)
        if row is None:
            raise NotFoundError(f"flag {environment}/{name} does not exist")
        flag = _readable(row)
        if expected_version is not None and flag.version != expected_version:
            raise ConflictError(
                f"flag {_subject(flag)} is at version {flag.version}", expected=expected_version, actual=flag.version
            )
        return flag

    def _finder(self, connection: Connection, environment: str) -> Callable[[str], Flag | None]:
        def find(name: str) -> Flag | None:
            row = self._row(connection, environment, name)
            return None if row is None else _readable(row)

        return find

    def _stored(self, flag: Flag) -> dict[str, Any]:
        stored = {column.name: getattr(flag, column.name) for column in _flag.c if column.name != "definition"}
        stored["target_users"] = list(flag.target_users)
        definition = extension_of(flag)
        if definition or self._database.revision >= WITH_DEFINITIONS:
            stored["definition"] = definition or None
        return stored


def _count(connection: Connection, environment: str) -> int:
    """Add one to the environment's counter and return it."""
    here = counter.c.environment == environment
    if not connection.execute(update(counter).where(here).values(version=counter.c.version + 1)).rowcount:
        connection.execute(insert(counter).values(environment=environment, version=1))
    return int(connection.execute(select(counter.c.version).where(here)).scalar_one())


def _is(flag: Flag) -> Any:
    return and_(_flag.c.environment == flag.environment, _flag.c.name == flag.name)


def _was(flag: Flag) -> Any:
    return and_(tombstone.c.environment == flag.environment, tombstone.c.name == flag.name)


def _bury(connection: Connection, flag: Flag) -> None:
    """Note that *flag* is gone with the version that it has; and forget who went very long ago."""
    connection.execute(delete(tombstone).where(_was(flag)))
    connection.execute(insert(tombstone).values(environment=flag.environment, name=flag.name, version=flag.version))
    oldest = flag.version - KEPT_CHANGES
    if oldest > 0:
        here = tombstone.c.environment == flag.environment
        if connection.execute(delete(tombstone).where(here, tombstone.c.version <= oldest)).rowcount:
            connection.execute(update(counter).where(counter.c.environment == flag.environment).values(since=oldest))


def _flags_of(rows: Sequence[Row]) -> FlagMap:
    return FlagMap({row.name: Unread(row.version, _made, row) for row in rows if row.name is not None})


def _readable(row: Row) -> Flag:
    try:
        return _made(row)
    except InvalidDocumentError as error:
        message = f"flag {row.environment}/{row.name} is of a later release, which can read it: {error.detail}"
        raise UnavailableError(message, backend="flags", operation="read a flag", nothing_changed=True) from None


def _made(row: Row) -> Flag:
    plain = {column.name: getattr(row, column.name) for column in _flag.c if column.name != "definition"}
    plain["target_users"] = tuple(row.target_users)
    return Flag(**plain, **(getattr(row, "definition", None) or {}))


def _change(action: str, flag: Flag, *, deleted: bool = False) -> Change:
    return Change("flag", action, environment=flag.environment, name=flag.name, version=flag.version, deleted=deleted)


def _subject(flag: Flag) -> str:
    return f"{flag.environment}/{flag.name}"
