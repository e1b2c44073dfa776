"""
The journal in PostgreSQL, as a bus reads it.

A look costs one round trip. Commits of this process wake the bus at once, and those of others by a notice of the
database; where notices do not come through (a pooler between us, say), its next look finds them.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import psycopg

from configkit.backends.sql import forks
from configkit.backends.sql.journal import Change, Row
from configkit.backends.sql.postgres.connection import BoundedConnection, quoted
from configkit.backends.sql.postgres.engine import PostgresDatabase
from configkit.backends.sql.postgres.errors import translated
from configkit.backends.sql.schema import from_instant

POLL_SECONDS = 0.5

_LOG_ID = "SELECT value FROM meta WHERE name = 'log_id'"
_TOP = "SELECT seq FROM journal_head"
_ROWS = """
SELECT seq, kind, action, environment, service_name, name, version, deleted, changed_by, at
FROM journal WHERE seq >= %s ORDER BY seq LIMIT %s
"""


class PostgresLog:
    """
    The `Log` of a schema.

    Args:
        listens: Ask the database for notices.
    """

    def __init__(self, database: PostgresDatabase, *, listens: bool = True) -> None:
        self._database = database
        self._listens = listens
        self._connection: BoundedConnection | None = None
        self._times_opened = 0
        self._ear, self._mouth = _pair()

    def translated(self, operation: str) -> AbstractContextManager[None]:
        """Raise configkit's errors in place of PostgreSQL's."""
        return translated(self._database.target, operation)

    def connect(self) -> bool:
        """Be connected. Whether another database has taken the place of the one before shows in the log's id."""
        end = time.monotonic() + self._database.deadline
        if self._connection is not None:
            self._connection.end = end
            if not self._connection.closed:
                return False
        self.disconnect()
        self._database.prepare()
        connection = self._database.connect(end)
        # Without somebody to take them, notices would be kept for later.
        connection.add_notify_handler(_ignore)
        if self._listens:
            with _closing_on_error(connection):
                connection.execute(f"LISTEN {quoted(self._database.schema)}")
        self._connection = connection
        self._times_opened += 1
        return False

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def mark(self) -> object:
        """Return the number of the last row."""
        return self._times_opened, self.top()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Rows are complete up to any that is seen, so later statements may only show more."""
        yield

    def log_id(self) -> str:
        """Return the id of the log."""
        return str(self._query(_LOG_ID)[0][0])

    def top(self) -> int:
        """Return the number of the last row that was written."""
        return int(self._query(_TOP)[0][0])

    def rows(self, since: int, limit: int) -> list[Row]:
        """Return the rows from number *since* on."""
        return [
            Row(seq, Change(kind, action, environment, service, name, version, deleted), changed_by, from_instant(at))
            for seq, kind, action, environment, service, name, version, deleted, changed_by, at in self._query(
                _ROWS, (since, limit)
            )
        ]

    def wait(self, seconds: float) -> None:
        """Return after that time, or as soon as the database says something, or `wake` was called."""
        poll = select.poll()
        poll.register(self._ear, select.POLLIN)
        connection = self._connection
        if connection is not None:
            with suppress(psycopg.Error):
                poll.register(connection.fileno(), select.POLLIN)
        poll.poll(seconds * 1000)
        with suppress(BlockingIOError):
            while self._ear.recv(4096):
                pass

    def wake(self) -> None:
        """End the wait under way, or the next one."""
        # Where nothing more fits in, enough is there to be woken by; after `close`, nobody waits.
        with suppress(BlockingIOError, OSError):
            self._mouth.send(b".")

    def forget(self) -> None:
        """Leave the parent's connection alone and begin anew."""
        forks.keep(self._connection, self._ear, self._mouth)
        self._connection = None
        self._ear, self._mouth = _pair()

    def close(self) -> None:
        """Free the sockets that wake it."""
        self._ear.close()
        self._mouth.close()

    def _query(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        assert self._connection is not None  # noqa: S101
        with _closing_on_error(self._connection):
            return self._connection.execute(statement, parameters).fetchall()


@contextmanager
def _closing_on_error(connection: BoundedConnection) -> Iterator[None]:
    try:
        yield
    except psycopg.Error:
        connection.close()
        raise


def _pair() -> tuple[socket.socket, socket.socket]:
    ear, mouth = socket.socketpair()
    ear.settimeout(0)
    mouth.settimeout(0)
    return ear, mouth


def _ignore(notice: object) -> None:
    """Its coming was its message."""
