"""The journal beside another store, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, text, update

from configkit.backends.sql.database import Database
from configkit.backends.sql.journal import ROW_COLUMNS, made, of_config, record
from configkit.backends.sql.schema import Row, journal, meta
from configkit.backends.sql.schema import intent as intents
from configkit.errors import InvalidDocumentError
from configkit.models import ConfigPath, Event, Origin
from configkit.ports import Intent

CLAIM = timedelta(seconds=10)
SKEW = timedelta(seconds=60)
"""By how much a claim may be later than our own reading of the clock: another's that came just after it is a little."""
ANNOUNCED_FOR = timedelta(hours=24)
"""Older rows are not announced any more: whoever cares has read them in the journal long since."""

_LOG_ID = select(meta.c.value).where(meta.c.name == "log_id")
_COMMITTED = select(journal.c.seq).where(journal.c.intent_id == bindparam("id"))


class SqlChangeJournal:
    """
    A `ChangeJournal`.

    An intent is a row of its own until it is resolved, and the journal's row is written with its resolution: so the
    journal stays in the order of the commits, and says only what has happened. What nobody has announced for a day
    (because the deployment announces nothing elsewhere, say) never will be.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def intend(self, action: str, path: ConfigPath, *, origin: Origin) -> Intent:
        """Write down, durably, that *path* is about to be changed. Raises `UnavailableError`: then nothing may be changed."""
        with self._database.writing("intend") as connection:
            intent = Intent(uuid4().hex, action, path, origin, self._database.moment(connection).now)
            connection.execute(insert(intents).values(_stored(intent)))
        return intent

    def commit(self, intent: Intent, version: int | None, *, deleted: bool = False) -> None:
        """Write down that it was changed, to *version*; a second time, by whomever, is ignored."""
        with self._database.writing("commit", "intent", intent.id) as connection:
            connection.execute(delete(intents).where(intents.c.id == intent.id))
            if connection.execute(_COMMITTED, {"id": intent.id}).first() is None:
                change = of_config(intent.action, intent.path, version, deleted=deleted)
                record(connection, self._database.moment(connection).now, intent.origin, change, intent_id=intent.id)

    def abandon(self, intent: Intent) -> None:
        """Write down that nothing was changed."""
        with self._database.writing("abandon", "intent", intent.id) as connection:
            connection.execute(delete(intents).where(intents.c.id == intent.id))

    def unresolved(self, *, older_than: float, limit: int = 100) -> list[Intent]:
        """Claim intents of at least *older_than* seconds that nobody has resolved, each for one caller only."""
        with self._database.reading("look for intents") as connection:
            now = self._database.moment(connection).now
            if connection.execute(_begun(now, older_than).limit(1)).first() is None:
                return []
        with self._database.writing("claim intents") as connection:
            now = self._database.moment(connection).now
            rows = connection.execute(_begun(now, older_than).limit(limit).with_for_update(skip_locked=True)).all()
            ids = [row.id for row in rows]
            connection.execute(update(intents).where(intents.c.id.in_(ids)).values(claimed_at=now))
        return [_intent(row) for row in rows]

    def unpublished(self, *, limit: int = 500) -> list[Event]:
        """Claim committed changes that are not published yet, oldest first, each for one caller only."""
        with self._database.reading("look for changes") as connection:
            now = self._database.moment(connection).now
            if connection.execute(_untold(now).limit(1)).first() is None:
                return []
        with self._database.writing("claim changes") as connection:
            now = self._database.moment(connection).now
            rows = connection.execute(_untold(now).limit(limit).with_for_update(skip_locked=True)).all()
            _claim(connection, [row.seq for row in rows], now)
            log_id = connection.execute(_LOG_ID).scalar_one()
        return [event for row in rows if (event := made(row).event(log_id)) is not None]

    def published(self, event_ids: Sequence[str]) -> None:
        """Write down that these were announced; an event of another journal is ignored."""
        if not event_ids:
            return
        numbers = [_number(event_id) for event_id in event_ids]
        with self._database.writing("note announcements") as connection:
            log_id = connection.execute(_LOG_ID).scalar_one()
            own = [seq for log, seq in numbers if log == log_id]
            connection.execute(update(journal).where(journal.c.seq.in_(own)).values(published=True))


def _begun(now: datetime, older_than: float) -> Any:
    old_enough = intents.c.at <= now - timedelta(seconds=older_than)
    return select(intents).where(old_enough, _free(intents.c.claimed_at, now)).order_by(intents.c.at, intents.c.id)


def _untold(now: datetime) -> Any:
    # Spelled as in the index, so that it is used.
    waiting = text("NOT published")
    recent = journal.c.at >= now - ANNOUNCED_FOR
    unread = journal.c.action != "read"
    return select(*ROW_COLUMNS).where(waiting, recent, unread, _free(journal.c.claimed_at, now)).order_by(journal.c.seq)


def _free(claimed_at: Any, now: datetime) -> Any:
    """What holds for a row that nobody has claimed within ten seconds; a claim from the far future is of a clock set back."""
    return or_(claimed_at.is_(None), claimed_at <= now - CLAIM, claimed_at > now + SKEW)


def _claim(connection: Connection, numbers: list[int], now: datetime) -> None:
    connection.execute(update(journal).where(journal.c.seq.in_(numbers)).values(claimed_at=now))


def _number(event_id: str) -> tuple[str, int]:
    log_id, _, number = event_id.rpartition("-")
    if not number.isdecimal():
        raise InvalidDocumentError("an id of an event of the journal", pointer="/event_ids")
    return log_id, int(number)


def _stored(intent: Intent) -> dict[str, Any]:
    return {
        "id": intent.id,
        "action": intent.action,
        "environment": intent.path.environment,
        "service_name": intent.path.service_name,
        "name": intent.path.key,
        "changed_by": intent.origin.changed_by,
        "source": intent.origin.source,
        "at": intent.at,
    }


def _intent(row: Row) -> Intent:
    path = ConfigPath(row.environment, row.service_name, row.name)
    return Intent(row.id, row.action, path, Origin(row.changed_by, row.source), row.at)
