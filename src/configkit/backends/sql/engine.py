"""The open database: its transactions, their deadlines, and what happens to them when the process forks."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, text

from configkit import chance
from configkit.backends.sql import forks, sqlite
from configkit.backends.sql.clock import Clock
from configkit.backends.sql.database import Moment
from configkit.backends.sql.errors import BACKEND, is_busy, translated
from configkit.backends.sql.gate import Gate
from configkit.backends.sql.migrate import HEAD
from configkit.errors import ClosedError, UnavailableError


class Attached(Protocol):
    """Something with a connection of its own beside the pools."""

    def committed(self) -> None:
        """Look for what a transaction of this process has changed."""

    def quiesce(self) -> None:
        """Close the connection and open none until `resume`."""

    def resume(self) -> None:
        """Go on."""

    def after_fork(self) -> None:
        """Forget the parent's threads and locks."""


class SqliteDatabase:
    """
    One SQLite file, open for any number of threads.

    Writers of this process take turns on one connection, so that only processes compete for SQLite's lock.

    Args:
        prepare: Brings the file at a path up to date; called again when another file has taken its place.
        deadline: Seconds within which every transaction begins, or fails.
    """

    def __init__(self, path: Path, *, prepare: Callable[[Path], None], deadline: float, clock: Clock) -> None:
        self.path = path
        self.deadline = deadline
        self.clock = clock
        self._prepare = prepare
        self._attached: list[Attached] = []
        self._closed = False
        self._overwrite_due = False
        self._forget()
        prepare(path)
        self._identity = sqlite.identity(path)
        forks.watch(self)

    @property
    def revision(self) -> int:
        """The migration of the tables: the file is brought up to date before it is used."""
        return int(HEAD)

    def attach(self, other: Attached) -> None:
        """Tell *other* of commits and forks."""
        self._attached.append(other)

    @contextmanager
    def reading(self, operation: str, *, snapshot: bool = False) -> Iterator[Connection]:
        """
        Give a connection for reading.

        Args:
            snapshot: Every statement sees the same moment; needless for a single one.

        Raises:
            UnavailableError: The database did not answer within the deadline.
        """
        with self._operation(operation), self._reader.connect() as connection:
            if snapshot:
                _driver(connection).execute("BEGIN")
            yield connection

    @contextmanager
    def writing(self, operation: str, *subject: str) -> Iterator[Connection]:  # noqa: ARG002  (all of them follow one another)
        """
        Give a connection in a write transaction, which is committed at the end, or rolled back if the body raises.

        Raises:
            UnavailableError: Others were writing until the deadline, or the file cannot be written.
        """
        end = time.monotonic() + self.deadline
        committing = False
        try:
            with self._operation(operation), self._turn_until(end, operation), self._writer.connect() as connection:
                _begin_immediate(_driver(connection), end)
                yield connection
                committing = True
                connection.commit()
                if self._overwrite_due:
                    self._overwrite_due = not _overwritten(connection)
        except UnavailableError as error:
            error.nothing_changed = not committing
            raise
        for other in self._attached:
            other.committed()

    def moment(self, connection: Connection) -> Moment:  # noqa: ARG002  (every process of the machine has its clocks)
        """Return what time it is on this machine."""
        return Moment(self.clock.now(), self.clock.monotonic(), self.clock.boot())

    def overwrite_log(self) -> None:
        """
        Bring everything into the file and empty the write-ahead log, so that what was removed is gone from both.

        Where readers prevent it for a second, it is done after a later write.
        """
        end = time.monotonic() + min(self.deadline, 1.0)
        self._overwrite_due = True
        with self._operation("checkpoint"), self._turn_until(end, "checkpoint"), self._writer.connect() as connection:
            while self._overwrite_due and time.monotonic() < end:
                self._overwrite_due = not _overwritten(connection)
                if self._overwrite_due:
                    _pause()

    def ping(self) -> None:
        """Return if the database answers. Raises `UnavailableError`."""
        with self.reading("ping") as connection:
            connection.execute(text("SELECT 1 FROM meta"))

    def close(self) -> None:
        """Close every connection; whatever is asked afterwards raises `ClosedError`."""
        if self._closed:
            return
        self._closed = True
        forks.unwatch(self)
        self._gate.shut(1.0)
        self._dispose()
        self._gate.open()

    def check_file(self) -> None:
        """
        Follow the path where another file has taken the place of the one that is open.

        Raises:
            UnavailableError: There is no file.
        """
        found = sqlite.identity(self.path)
        if found == self._identity:
            return
        if found is None:
            message = f"{self.path} is gone; put it back, or restart to begin a new one"
            raise UnavailableError(message, backend=BACKEND, operation="open")
        with self._changing:
            if sqlite.identity(self.path) != self._identity:
                self._dispose()
                self._prepare(self.path)
                self._identity = sqlite.identity(self.path)

    @contextmanager
    def _operation(self, operation: str) -> Iterator[None]:
        gate = self._gate
        if not gate.enter(self.deadline):
            raise UnavailableError("the process is forking; try again", backend=BACKEND, operation=operation)
        try:
            if self._closed:
                raise ClosedError
            with translated(self.path, operation):
                self.check_file()
                yield
        finally:
            gate.leave()

    @contextmanager
    def _turn_until(self, end: float, operation: str) -> Iterator[None]:
        turn = self._turn
        if not turn.acquire(timeout=max(0.0, end - time.monotonic())):
            message = f"{self.path} is in use: others have been writing for too long; try again"
            raise UnavailableError(message, backend=BACKEND, operation=operation)
        try:
            yield
        finally:
            turn.release()

    def _forget(self) -> None:
        self._gate = Gate()
        self._turn = threading.Lock()
        self._changing = threading.Lock()
        self._reader = self._engine(sqlite.POOL_SIZE, writes=False)
        self._writer = self._engine(1, writes=True)

    def _engine(self, size: int, *, writes: bool) -> Engine:
        # SQLite's own waiting sleeps up to 100 ms in steps of its own; writers wait by `_begin_immediate` instead.
        patience = 0.0 if writes else self.deadline
        return sqlite.make_engine(self.path, size=size, deadline=self.deadline, patience=patience, writes=writes)

    def _dispose(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    def before_fork(self) -> None:
        """Close every connection, so that the child inherits none."""
        self._gate.shut(forks.PATIENCE)
        self._dispose()
        for other in self._attached:
            other.quiesce()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        for other in self._attached:
            other.resume()
        self._gate.open()

    def after_fork(self) -> None:
        """In the child: begin anew, closing nothing that is the parent's."""
        forks.keep(self._reader, self._writer)
        self._forget()
        for other in self._attached:
            other.after_fork()


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101
    return driver


def _begin_immediate(connection: sqlite3.Connection, end: float) -> None:
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= end:
                raise
            _pause()
        else:
            return


def _overwritten(connection: Connection) -> bool:
    try:
        busy: int = _driver(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError:  # what was written is committed, so that this must not make it look undone
        return False
    return not busy


def _pause() -> None:
    time.sleep(chance.uniform(0.0005, 0.005))
