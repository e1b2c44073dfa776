"""
The journal: each change writes its row in its own transaction.

It is the audit trail, and the log that `configkit.backends.sql.bus` tells other processes from. Whoever has read up to
a row must have missed none before it, so the rows are numbered without holes and in the order of their commits. On
SQLite that comes by itself: write transactions follow one another. On PostgreSQL a sequence gives its numbers out of
the order of the commits, and transactions that end later show rows with lower numbers than were read already; so each
transaction takes its numbers from the one row of ``journal_head``, which it holds from there until its end. The row is
the last thing that any transaction waits for, so that nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, insert, select, text

from configkit.backends.sql.database import Database
from configkit.backends.sql.schema import journal
from configkit.models import AccessChanged, ConfigChanged, ConfigPath, Event, FlagChanged, Origin, RegistryChanged
from configkit.ports import JournalEntry

Kind = Literal["config", "flag", "registry", "token"]

KEPT_FOR = timedelta(days=90)
KEPT_ROWS = 1_000_000
_PRUNED_AT_ONCE = 20_000
HOUSEHOLD = Origin("configkit")
"""Who did what nobody asked for: expiries and health checks."""
TOLD_ONLY = "health"
"""The action of a row that is there to be told of, and no part of the audit trail: a health check found another status."""


RECORDED = "configkit recorded"
"""Under this name a connection's `info` says that its transaction has written to the journal."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is journalled: the subject's fields as far as its kind has them, and no value."""

    kind: Kind
    action: str
    environment: str | None = None
    service_name: str | None = None
    name: str | None = None
    version: int | None = None
    deleted: bool = False


# The notice is delivered with the commit; it only makes the reading come sooner.
_NUMBERS = text("UPDATE journal_head SET seq = seq + :count RETURNING seq, pg_notify(current_schema(), '')")


def record(connection: Connection, at: datetime, origin: Origin, *changes: Change, intent_id: str | None = None) -> None:
    """Write *changes* in the transaction that makes them, as the last thing that it does."""
    rows: list[dict[str, Any]] = [
        {
            "kind": change.kind,
            "action": change.action,
            "environment": change.environment,
            "service_name": change.service_name,
            "name": change.name,
            "version": change.version,
            "deleted": change.deleted,
            "changed_by": origin.changed_by,
            "source": origin.source,
            "at": at,
            "published": change.action == "read",
            "intent_id": intent_id,
        }
        for change in changes
    ]
    if connection.dialect.name == "postgresql":
        last = connection.execute(_NUMBERS, {"count": len(rows)}).scalar_one()
        rows = [{"seq": last - len(rows) + number, **row} for number, row in enumerate(rows, 1)]
    connection.execute(insert(journal), rows)
    connection.info[RECORDED] = True


def of_config(action: str, path: ConfigPath, version: int | None, *, deleted: bool = False) -> Change:
    """Return what is journalled of a configuration value."""
    return Change("config", action, path.environment, path.service_name, path.key, version, deleted)


@dataclass(frozen=True, slots=True)
class Row:
    """A row as the bus reads it."""

    seq: int
    change: Change
    changed_by: str
    at: datetime

    def event(self, log_id: str) -> Event | None:
        """Return what to tell of this row; None: nothing changed."""
        change, event_id = self.change, f"{log_id}-{self.seq}"
        if change.action == "read":
            return None
        if change.kind == "config":
            path = ConfigPath(change.environment or "", change.service_name or "", change.name or "")
            return ConfigChanged(event_id, path, change.version, change.deleted, self.at, self.changed_by)
        if change.kind == "flag":
            where, name = change.environment or "", change.name or ""
            return FlagChanged(event_id, where, name, change.version, change.deleted, self.at, self.changed_by)
        if change.kind == "registry":
            return RegistryChanged(event_id, change.service_name or "", self.at, self.changed_by)
        return AccessChanged(event_id, self.at, self.changed_by)


ROW_COLUMNS = (
    journal.c.seq,
    journal.c.kind,
    journal.c.action,
    journal.c.environment,
    journal.c.service_name,
    journal.c.name,
    journal.c.version,
    journal.c.deleted,
    journal.c.changed_by,
    journal.c.at,
)
"""What a `Row` is made of."""


def made(row: Any) -> Row:
    """Return the `Row` of the selected `ROW_COLUMNS`."""
    change = Change(row.kind, row.action, row.environment, row.service_name, row.name, row.version, row.deleted)
    return Row(row.seq, change, row.changed_by, row.at)


class SqlJournal:
    """A `Journal`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_read(self, paths: Sequence[ConfigPath], *, origin: Origin) -> None:
        """Record that the secrets at *paths* were read in the clear."""
        if not paths:
            return
        with self._database.writing("record a read") as connection:
            record(connection, self._database.moment(connection).now, origin, *(of_config("read", path, None) for path in paths))

    def record_registration(
        self, action: Literal["register", "deregister"], service_name: str, instance_id: str, *, origin: Origin
    ) -> None:
        """Record what an instance did at a registry that keeps no journal itself."""
        change = Change("registry", action, service_name=service_name, name=instance_id)
        with self._database.writing("record a registration") as connection:
            record(connection, self._database.moment(connection).now, origin, change)

    def entries(self, *, limit: int, offset: int = 0) -> list[JournalEntry]:
        """Return the journal, newest first."""
        audited = select(journal).where(journal.c.action != TOLD_ONLY)
        newest_first = audited.order_by(journal.c.seq.desc()).limit(limit).offset(min(offset, 2**63 - 1))
        with self._database.reading("read the journal") as connection:
            rows = connection.execute(newest_first).all()
        return [
            JournalEntry(
                kind=row.kind,
                action=row.action,
                subject="/".join(part for part in (row.environment, row.service_name, row.name) if part is not None),
                version=row.version,
                origin=Origin(row.changed_by, row.source),
                at=row.at,
            )
            for row in rows
        ]

    def prune(self) -> int:
        """
        Remove what is older than 90 days or before the last million rows, and return how many rows that were.

        Only the oldest go and the last one stays, so that readers of the log notice when they were too slow.
        """
        removed = 0
        while count := self._prune_some():
            removed += count
        return removed

    def _prune_some(self) -> int:
        with self._database.reading("prune the journal") as connection:
            since = self._database.moment(connection).now - KEPT_FOR
            first, last = connection.execute(select(func.min(journal.c.seq), func.max(journal.c.seq))).one()
            if last is None:
                return 0
            kept = select(journal.c.seq).where(journal.c.at >= since).order_by(journal.c.seq).limit(1)
            keep = max(connection.execute(kept).scalar() or last, last - KEPT_ROWS + 1)
        if keep <= first:
            return 0
        with self._database.writing("prune the journal", "prune") as connection:
            gone = delete(journal).where(journal.c.seq < min(keep, first + _PRUNED_AT_ONCE))
            return connection.execute(gone).rowcount
