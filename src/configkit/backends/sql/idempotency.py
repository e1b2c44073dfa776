"""Requests that must not be carried out twice, in SQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from configkit.backends.sql.engine import Database
from configkit.backends.sql.schema import Row, idempotency
from configkit.errors import ConflictError, InvalidDocumentError, OutcomeUnknownError
from configkit.ports import Outcome

KEPT_FOR = timedelta(hours=24)
CLAIM_SECONDS = 60.0

_READ = select(idempotency).where(idempotency.c.key == bindparam("sought"))


class SqlIdempotencyStore:
    """An `IdempotencyStore` that all servers on the database share."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clock = database.clock

    def begin(self, key: str, fingerprint: str) -> Outcome | None:
        """Claim *key*, or return what became of it. Raises `InvalidDocumentError` or `ConflictError`."""
        with self._database.writing("claim a request") as connection:
            self._forget_old(connection)
            row = connection.execute(_READ, {"sought": key}).one_or_none()
            if row is None:
                self._claim(connection, key, fingerprint)
                return None
        if row.fingerprint != fingerprint:
            raise InvalidDocumentError("this Idempotency-Key was used for another request; use a new one")
        if row.status is None and self._is_abandoned(row):
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

    def _claim(self, connection: Connection, key: str, fingerprint: str) -> None:
        connection.execute(
            insert(idempotency).values(
                key=key,
                fingerprint=fingerprint,
                claimed_at=self._clock.now(),
                claimed_mono=self._clock.monotonic(),
                boot_id=self._clock.boot(),
            )
        )

    def _is_abandoned(self, row: Row) -> bool:
        """Whether nobody can be carrying it out any more; a machine that was restarted carries out nothing of before."""
        age = self._clock.monotonic() - row.claimed_mono
        return row.boot_id != self._clock.boot() or not 0 <= age <= CLAIM_SECONDS

    def _forget_old(self, connection: Connection) -> None:
        connection.execute(delete(idempotency).where(idempotency.c.claimed_at < self._clock.now() - KEPT_FOR))
