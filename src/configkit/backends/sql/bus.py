"""
Telling of changes: one thread that watches the file.

It asks SQLite for ``data_version``, which costs microseconds and changes when anybody has committed, and only then reads
the journal. Commits of this process wake it at once.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from configkit.backends.sql import sqlite
from configkit.backends.sql.engine import FORK_PATIENCE, Database
from configkit.backends.sql.errors import translated
from configkit.backends.sql.journal import Change, Row
from configkit.backends.sql.schema import from_instant
from configkit.errors import ClosedError, ConfigKitError
from configkit.models import Event, Resync

log = logging.getLogger("configkit.bus")

POLL_SECONDS = 0.1
_BATCH = 1000
_LONGEST_PAUSE = 1.0

_LOG_ID = "SELECT value FROM meta WHERE name = 'log_id'"
# Kept by SQLite whatever is pruned, so that it tells an emptied journal from a restored one.
_TOP = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'"
_ROWS = """
SELECT seq, kind, action, environment, service_name, name, version, deleted, changed_by, at
FROM journal WHERE seq >= ? ORDER BY seq LIMIT ?
"""


@dataclass(eq=False, slots=True)
class _Subscriber:
    deliver: Callable[[Event], None]
    after: int
    """The last row that it need not be told of."""
    active: bool = True


@dataclass(frozen=True, slots=True)
class _Position:
    """How far the journal was read: of which log, and what the last row was (None: none yet, or it was not there any more)."""

    log_id: str
    seq: int
    row: Row | None


@dataclass(frozen=True, slots=True)
class _News:
    """What is to be delivered; *gap* tells why something may be missing."""

    log_id: str
    rows: tuple[Row, ...]
    gap: str | None = None


class SqliteBus:
    """An `EventBus` on the journal of one file."""

    _thread: threading.Thread | None
    _subscribers: tuple[_Subscriber, ...]
    _position: _Position | None
    _connection: sqlite3.Connection | None
    _identity: tuple[int, int] | None
    _mark: int | None

    def __init__(self, database: Database, *, every: float = POLL_SECONDS) -> None:
        self._database = database
        self._every = every
        self._closed = False
        self._forget()
        database.attach(self)

    def subscribe(self, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """Deliver every later event to *deliver*; the answer ends it. Raises `UnavailableError`."""
        with self._lock, translated(self._database.path, "subscribe"):
            if self._closed:
                raise ClosedError
            connection = self._connected()
            if self._position is None:
                self._position = _current(connection)
            subscriber = _Subscriber(deliver, _top(connection))
            self._subscribers += (subscriber,)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(self._stop,), name="configkit-sqlite-bus", daemon=True)
                self._thread.start()

        def unsubscribe() -> None:
            subscriber.active = False
            with self._lock:
                self._subscribers = tuple(other for other in self._subscribers if other is not subscriber)

        return unsubscribe

    def close(self) -> None:
        """End every subscription and the thread; waits for a delivery under way for a second at most."""
        self._closed = True
        self._stop.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(0.9)
        with self._lock:
            self._subscribers = ()
            self._disconnect()

    def committed(self) -> None:
        """Look at once."""
        self._wake.set()

    def quiesce(self) -> None:
        """Close the connection; `resume` lets it be opened again."""
        self._paused = self._lock.acquire(timeout=FORK_PATIENCE)
        if self._paused:
            self._disconnect()

    def resume(self) -> None:
        """Go on after a fork."""
        if self._paused:
            self._paused = False
            self._lock.release()

    def after_fork(self) -> None:
        """Forget the parent's thread, connection and subscribers: who wants events in the child subscribes there."""
        _INHERITED.append(self._connection)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._paused = False
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = None
        self._subscribers = ()
        self._position = None
        self._connection = None
        self._identity = None
        self._mark = None

    def _run(self, stop: threading.Event) -> None:
        pause, failing = self._every, False
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            if stop.is_set():
                return
            try:
                self._look()
                if failing:
                    self._tell_all(Resync("the database was out of reach"))
                pause, failing = self._every, False
            except (ConfigKitError, OSError) as error:
                if not failing:
                    log.warning("changes cannot be read, trying on: %s", error)
                failing = True
                pause = random.uniform(0.5, 1.0) * min(pause * 2, _LONGEST_PAUSE)  # noqa: S311
            except Exception:
                log.exception("changes cannot be read, trying on")
                failing, pause = True, _LONGEST_PAUSE

    def _look(self) -> None:
        """Deliver what is new, in parts, until nothing is."""
        while True:
            with self._lock, translated(self._database.path, "watch"):
                news = None if self._closed else self._news()
                subscribers = self._subscribers
            if news is None:
                return
            if news.gap is not None:
                self._tell_all(Resync(news.gap))
            for row in news.rows:
                event = row.event(news.log_id)
                if event is not None:
                    for subscriber in subscribers:
                        if row.seq > subscriber.after:
                            _attempt(subscriber, event)

    def _tell_all(self, event: Event) -> None:
        for subscriber in self._subscribers:
            _attempt(subscriber, event)

    def _news(self) -> _News | None:
        connection = self._connected()
        mark = connection.execute("PRAGMA data_version").fetchone()[0]
        if mark == self._mark:
            return None
        connection.execute("BEGIN")
        try:
            news, self._position = _read_on(connection, self._position)
        finally:
            connection.execute("ROLLBACK")
        if news.gap is not None:
            for subscriber in self._subscribers:
                subscriber.after = self._position.seq
        if len(news.rows) < _BATCH - 1:
            self._mark = mark
        return news if news.rows or news.gap else None

    def _connected(self) -> sqlite3.Connection:
        self._database.check_file()
        found = sqlite.identity(self._database.path)
        if self._connection is None or found != self._identity:
            self._disconnect()
            if self._position is not None and found != self._identity:
                # Another file may be at our very position and yet not be what was read before.
                self._position = replace(self._position, log_id="")
            self._connection = sqlite.connect(self._database.path, patience=1.0, writes=False)
            self._identity = found
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._mark = None


_INHERITED: list[sqlite3.Connection | None] = []


def _attempt(subscriber: _Subscriber, event: Event) -> None:
    if not subscriber.active:
        return
    try:
        subscriber.deliver(event)
    except Exception:
        log.exception("a subscriber failed on %s", type(event).__name__)


def _top(connection: sqlite3.Connection) -> int:
    found = connection.execute(_TOP).fetchone()
    return int(found[0]) if found else 0


def _current(connection: sqlite3.Connection) -> _Position:
    connection.execute("BEGIN")
    try:
        log_id, top = connection.execute(_LOG_ID).fetchone()[0], _top(connection)
        rows = _rows(connection, top, 1)
    finally:
        connection.execute("ROLLBACK")
    return _Position(log_id, top, rows[0] if rows else None)


def _read_on(connection: sqlite3.Connection, position: _Position | None) -> tuple[_News, _Position]:
    """Return the rows after *position*, or why there may have been others, and the new position."""
    log_id, top = connection.execute(_LOG_ID).fetchone()[0], _top(connection)
    rows = _rows(connection, position.seq if position else top, _BATCH)
    gap = None if position is None else _gap(position, log_id, top, rows)
    if gap is not None or position is None:
        last = _rows(connection, top, 1)
        return _News(log_id, (), gap), _Position(log_id, top, last[0] if last else None)
    new = tuple(row for row in rows if row.seq > position.seq)
    last_row = new[-1] if new else position.row
    return _News(log_id, new), _Position(log_id, new[-1].seq if new else position.seq, last_row)


def _gap(position: _Position, log_id: str, top: int, rows: list[Row]) -> str | None:
    if log_id != position.log_id or top < position.seq:
        return "the database was replaced"
    first = rows[0] if rows else None
    if first is not None and first.seq == position.seq:
        return None if position.row in (None, first) else "the database was restored"
    expected = position.seq + 1
    if (first is None and top >= expected) or (first is not None and first.seq > expected):
        return "the journal was pruned before it was read"
    return None


def _rows(connection: sqlite3.Connection, since: int, limit: int) -> list[Row]:
    return [
        Row(seq, Change(kind, action, environment, service, name, version, bool(deleted)), changed_by, from_instant(at))
        for seq, kind, action, environment, service, name, version, deleted, changed_by, at in connection.execute(
            _ROWS, (since, limit)
        )
    ]
