"""Requests that must not be carried out twice, in SQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from configkit.backends.sql.database import Database, Moment
from configkit.backends.sql.schema import Instant, Row, idempotency
from configkit.errors import ConflictError, InvalidDocumentError, OutcomeUnknownError
from configkit.ports import Outcome

KEPT_FOR = timedelta(hours=24)
CLAIM_SECONDS = 60.0
_FORGOTTEN_AT_ONCE = 1000

_READ = select(idempotency).where(idempotency.c.key == bindparam("sought"))
# What another server is forgetting, or claiming anew, is left to it: two that wait for each other's rows end in a deadlock.
_old = (
    select(idempotency.c.key)
    .where(idempotency.c.claimed_at < bindparam("kept_since", type_=Instant))
    .limit(_FORGOTTEN_AT_ONCE)
    .with_for_update(skip_locked=True)
)
_forget = delete(idempotency).where(idempotency.c.key.in_(_old))


class SqlIdempotencyStore:
    """An `IdempotencyStore` that all servers on the database share."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, key: str, fingerprint: str) -> Outcome | None:
        """Claim *key*, or return what became of it. Raises `InvalidDocumentError` or `ConflictError`."""
        with self._database.writing("claim a request", "idempotency", key) as connection:
            moment = self._database.moment(connection)
            connection.execute(_forget, {"kept_since": moment.now - KEPT_FOR})
            row = connection.execute(_READ, {"sought": key}).one_or_none()
            if row is None or row.claimed_at < moment.now - KEPT_FOR:
                _claim(connection, key, fingerprint, moment)
                return None
        if row.fingerprint != fingerprint:
            raise InvalidDocumentError("this Idempotency-Key was used for another request; use a new one")
        if _is_abandoned(row, moment):
            raise OutcomeUnknownError("the first request with this Idempotency-Key was begun, and never finished")
        if row.status is None:
            raise ConflictError("the first request with this Idempotency-Key is still in flight", expected=None, actual=None)
        return Outcome(row.status, row.subject, row.version)

    def finish(self, key: str, outcome: Outcome | None) -> None:
        """Keep what became of it; None: it may be tried again."""
        of_key = idempotency.c.key == key
        with self._database.writing("finish a request") as connection:
            if outcome is None:
                connection.execute(delete(idempotency).where(of_key))
            else:
                kept: dict[str, Any] = {"status": outcome.status, "subject": outcome.subject, "version": outcome.version}
                connection.execute(update(idempotency).where(of_key).values(kept))


def _claim(connection: Connection, key: str, fingerprint: str, moment: Moment) -> None:
    connection.execute(delete(idempotency).where(idempotency.c.key == key))
    claim = {"claimed_at": moment.now, "claimed_mono": moment.mono, "boot_id": moment.boot}
    connection.execute(insert(idempotency).values(key=key, fingerprint=fingerprint, **claim))


def _is_abandoned(row: Row, moment: Moment) -> bool:
    """Whether nobody can be carrying it out any more; a machine that was restarted carries out nothing of before."""
    if row.status is not None:
        return False
    return row.boot_id != moment.boot or not 0 <= moment.mono - row.claimed_mono <= CLAIM_SECONDS
