"""Events within one process."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from configkit.models import Event

log = logging.getLogger(__name__)

Deliver = Callable[[Event], None]


class MemoryBus:
    """
    An `EventBus` whose writers call `publish`.

    Args:
        threads: Give each subscriber a thread, so that a slow one delays nobody. Without, `publish` delivers in the
            caller's thread; what a subscriber publishes meanwhile is delivered when it has returned.
    """

    def __init__(self, *, threads: bool = True) -> None:
        self._kind = _Threaded if threads else _Inline
        self._lock = threading.Lock()
        self._subscribers: tuple[_Subscriber, ...] = ()

    def subscribe(self, deliver: Deliver) -> Callable[[], None]:
        """Deliver every later event to *deliver*; the answer ends it."""
        subscriber = self._kind(deliver)
        with self._lock:
            self._subscribers += (subscriber,)

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = tuple(other for other in self._subscribers if other is not subscriber)
            subscriber.end()

        return unsubscribe

    def publish(self, event: Event) -> None:
        """Hand *event* to every subscriber."""
        for subscriber in self._subscribers:
            subscriber.put(event)

    def close(self) -> None:
        """End every subscription."""
        with self._lock:
            subscribers, self._subscribers = self._subscribers, ()
        for subscriber in subscribers:
            subscriber.end()

    def after_fork(self) -> None:
        """Forget the subscribers, whose threads are the parent's: the client subscribes again."""
        self._lock = threading.Lock()
        self._subscribers = ()


class _Subscriber(Protocol):
    def put(self, event: Event) -> None: ...

    def end(self) -> None: ...


class _Threaded:
    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._ended = False
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(self._queue,), name="configkit-memory-bus", daemon=True)
        self._thread.start()

    def _run(self, queue: SimpleQueue[Event | None]) -> None:
        while (event := queue.get()) is not None and not self._ended:
            _attempt(self._deliver, event)

    def put(self, event: Event) -> None:
        self._queue.put(event)

    def end(self) -> None:
        self._ended = True
        self._queue.put(None)


class _Inline:
    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._pending: deque[Event] = deque()
        self._busy = threading.Lock()
        self._ended = False

    def put(self, event: Event) -> None:
        # Never waits for a delivery under way, so that a subscriber may write, and wait for others that write.
        self._pending.append(event)
        while self._pending and self._busy.acquire(blocking=False):
            try:
                while self._pending:
                    event = self._pending.popleft()
                    if not self._ended:
                        _attempt(self._deliver, event)
            finally:
                self._busy.release()

    def end(self) -> None:
        self._ended = True


def _attempt(deliver: Deliver, event: Event) -> None:
    try:
        deliver(event)
    except Exception:
        log.exception("a subscriber failed on %s", type(event).__name__)
