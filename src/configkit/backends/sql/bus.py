"""
Telling of changes: one thread that reads on in the journal.

Where the journal lies, how a look at it is made cheap and what wakes the thread are the business of its `Log`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from configkit import chance
from configkit.backends.sql import forks
from configkit.backends.sql.journal import Row
from configkit.errors import ClosedError, ConfigKitError
from configkit.models import Event, Resync

log = logging.getLogger("configkit.bus")

_BATCH = 1000
_LONGEST_PAUSE = 1.0


class Log(Protocol):
    """The journal as one bus reads it, on a connection of its own; only `wait` and `wake` may be called by several threads."""

    def translated(self, operation: str) -> AbstractContextManager[None]:
        """Raise configkit's errors in place of the driver's."""

    def connect(self) -> bool:
        """Be connected; return whether this is another database than the one that was read before."""

    def disconnect(self) -> None:
        """Close the connection, if there is one."""

    def mark(self) -> object:
        """Return what is different once anybody has written; it costs next to nothing."""

    def snapshot(self) -> AbstractContextManager[None]:
        """What is read within is of one moment."""

    def log_id(self) -> str:
        """Return the id of the log, which was made with the database."""

    def top(self) -> int:
        """Return the number of the last row that was written, whatever was pruned since; 0: none was."""

    def rows(self, since: int, limit: int) -> list[Row]:
        """Return the rows from number *since* on."""

    def wait(self, seconds: float) -> None:
        """Return after that time, or as soon as somebody may have written, or `wake` was called."""

    def wake(self) -> None:
        """End the wait under way, or the next one."""

    def forget(self) -> None:
        """In a forked child: leave the parent's connection and locks alone, and begin anew."""

    def close(self) -> None:
        """Free what waiting needed."""


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


class JournalBus:
    """
    An `EventBus` on the journal of one database.

    Args:
        name: What the thread is called.
        every: Seconds between two looks when nothing wakes it.
    """

    _thread: threading.Thread | None
    _subscribers: tuple[_Subscriber, ...]
    _position: _Position | None

    def __init__(self, log: Log, *, name: str, every: float) -> None:
        self._log = log
        self._name = name
        self._every = every
        self._closed = False
        self._forget()

    def subscribe(self, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """Deliver every later event to *deliver*; the answer ends it. Raises `UnavailableError`."""
        with self._lock, self._log.translated("subscribe"):
            if self._closed:
                raise ClosedError
            self._connect()
            if self._position is None:
                self._position = _current(self._log)
            subscriber = _Subscriber(deliver, self._log.top())
            with self._roster:
                self._subscribers += (subscriber,)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(self._stop,), name=self._name, daemon=True)
                self._thread.start()

        def unsubscribe() -> None:
            subscriber.active = False
            with self._roster:
                self._subscribers = tuple(other for other in self._subscribers if other is not subscriber)

        return unsubscribe

    def close(self) -> None:
        """End every subscription and the thread; waits for a delivery under way for a second at most."""
        self._closed = True
        self._stop.set()
        self._log.wake()
        with self._roster:
            self._subscribers = ()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(0.9)
        # A thread that is still waiting for the database leaves by itself, and frees what it has then.
        if thread is None or not thread.is_alive():
            self._free()

    def _free(self) -> None:
        with self._lock:
            self._log.disconnect()
            self._log.close()

    def committed(self) -> None:
        """Look at once."""
        self._log.wake()

    def quiesce(self) -> None:
        """Close the connection; `resume` lets it be opened again."""
        self._paused = self._lock.acquire(timeout=forks.PATIENCE)
        if self._paused:
            self._log.disconnect()

    def resume(self) -> None:
        """Go on after a fork."""
        if self._paused:
            self._paused = False
            self._lock.release()

    def after_fork(self) -> None:
        """Forget the parent's thread, connection and subscribers: who wants events in the child subscribes there."""
        self._log.forget()
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._roster = threading.Lock()
        self._paused = False
        self._stop = threading.Event()
        self._thread = None
        self._subscribers = ()
        self._position = None
        self._mark: object = None

    def _run(self, stop: threading.Event) -> None:
        pause, failing = self._every, False
        while True:
            self._log.wait(pause)
            if stop.is_set():
                self._free()
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
                pause = chance.uniform(0.5, 1.0) * min(pause * 2, _LONGEST_PAUSE)
            except Exception:
                log.exception("changes cannot be read, trying on")
                failing, pause = True, _LONGEST_PAUSE

    def _look(self) -> None:
        """Deliver what is new, in parts, until nothing is."""
        while True:
            with self._lock, self._log.translated("watch"):
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
        self._connect()
        mark = self._log.mark()
        if mark == self._mark:
            return None
        with self._log.snapshot():
            news, self._position = _read_on(self._log, self._position)
        if news.gap is not None:
            for subscriber in self._subscribers:
                subscriber.after = self._position.seq
        if len(news.rows) < _BATCH - 1:
            self._mark = mark
        return news if news.rows or news.gap else None

    def _connect(self) -> None:
        if self._log.connect():
            self._mark = None
            if self._position is not None:
                # Another database may be at our very position and yet not be what was read before.
                self._position = replace(self._position, log_id="")


def _attempt(subscriber: _Subscriber, event: Event) -> None:
    if not subscriber.active:
        return
    try:
        subscriber.deliver(event)
    except Exception:
        log.exception("a subscriber failed on %s", type(event).__name__)


def _current(log: Log) -> _Position:
    with log.snapshot():
        log_id, top = log.log_id(), log.top()
        rows = log.rows(top, 1)
    return _Position(log_id, top, rows[0] if rows else None)


def _read_on(log: Log, position: _Position | None) -> tuple[_News, _Position]:
    """Return the rows after *position*, or why there may have been others, and the new position."""
    log_id, top = log.log_id(), log.top()
    rows = log.rows(position.seq if position else top, _BATCH)
    gap = None if position is None else _gap(position, log_id, top, rows)
    if gap is not None or position is None:
        last = log.rows(top, 1)
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
