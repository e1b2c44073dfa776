"""
The journal of one SQLite file, as a bus reads it.

It asks SQLite for ``data_version``, which costs microseconds and changes when anybody has committed. Commits of this
process wake the bus at once; those of others are found at its next look.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from configkit.backends.sql import forks, sqlite
from configkit.backends.sql.engine import SqliteDatabase
from configkit.backends.sql.errors import translated
from configkit.backends.sql.journal import Change, Row
from configkit.backends.sql.schema import from_instant

POLL_SECONDS = 0.1

_LOG_ID = "SELECT value FROM meta WHERE name = 'log_id'"
# Kept by SQLite whatever is pruned, so that it tells an emptied journal from a restored one.
_TOP = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'"
_ROWS = """
SELECT seq, kind, action, environment, service_name, name, version, deleted, changed_by, at
FROM journal WHERE seq >= ? ORDER BY seq LIMIT ?
"""


class SqliteLog:
    """The `Log` of a file."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._times_opened = 0
        self._woken = threading.Event()

    def translated(self, operation: str) -> AbstractContextManager[None]:
        """Raise configkit's errors in place of SQLite's."""
        return translated(self._database.path, operation)

    def connect(self) -> bool:
        """Be connected to the file that lies at the path; return whether it is another one than before."""
        self._database.check_file()
        found = sqlite.identity(self._database.path)
        if self._connection is not None and found == self._identity:
            return False
        self.disconnect()
        self._connection = sqlite.connect(self._database.path, patience=1.0, writes=False)
        self._times_opened += 1
        another, self._identity = self._identity not in {None, found}, found
        return another

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def mark(self) -> object:
        """Return which connection it is, and how often anybody has written since it was opened."""
        return self._times_opened, self._open.execute("PRAGMA data_version").fetchone()[0]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within is of one moment."""
        self._open.execute("BEGIN")
        try:
            yield
        finally:
            self._open.execute("ROLLBACK")

    def log_id(self) -> str:
        """Return the id of the log."""
        return str(self._open.execute(_LOG_ID).fetchone()[0])

    def top(self) -> int:
        """Return the number of the last row that was written."""
        found = self._open.execute(_TOP).fetchone()
        return int(found[0]) if found else 0

    def rows(self, since: int, limit: int) -> list[Row]:
        """Return the rows from number *since* on."""
        return [
            Row(seq, Change(kind, action, environment, service, name, version, bool(deleted)), changed_by, from_instant(at))
            for seq, kind, action, environment, service, name, version, deleted, changed_by, at in self._open.execute(
                _ROWS, (since, limit)
            )
        ]

    def wait(self, seconds: float) -> None:
        """Return after that time, or once `wake` was called."""
        self._woken.wait(seconds)
        self._woken.clear()

    def wake(self) -> None:
        """End the wait under way, or the next one."""
        self._woken.set()

    def forget(self) -> None:
        """Leave the parent's connection alone and begin anew."""
        forks.keep(self._connection)
        self._connection = self._identity = None
        self._woken = threading.Event()

    def close(self) -> None:
        """There is nothing to free."""

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101
        return self._connection
