"""Delivering events: one thread that reads the topic, for every subscriber of the process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from configkit import chance
from configkit.backends.kafka import cloudevents
from configkit.backends.kafka.driver import BACKEND
from configkit.backends.kafka.reader import Reader
from configkit.errors import ClosedError, ConfigKitError, UnavailableError
from configkit.models import Event, Resync

log = logging.getLogger("configkit.bus")

POLL_SECONDS = 0.1
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0

Deliver = Callable[[Event], None]


@dataclass(eq=False, slots=True)
class _Subscriber:
    deliver: Deliver
    active: bool = True


class KafkaBus:
    """
    An `EventBus` that broadcasts: every process reads everything.

    Whatever may be a gap (an outage, a topic made anew, records gone before they were read) ends in fixing new positions
    and then telling every subscriber to read everything again.

    Args:
        connect: Returns a reader whose positions are fixed.
    """

    def __init__(self, connect: Callable[[], Reader]) -> None:
        self._connect = connect
        self._closed = False
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._reader: Reader | None = None
        self._subscribers: tuple[_Subscriber, ...] = ()
        self._skipping = False

    def subscribe(self, deliver: Deliver) -> Callable[[], None]:
        """Deliver every later event to *deliver*; the answer ends it. Raises `UnavailableError` or `AccessDeniedError`."""
        subscriber = _Subscriber(deliver)
        with self._starting:
            if self._closed:
                raise ClosedError
            if self._thread is None:
                self._reader = self._connect()
                self._add(subscriber)
                self._thread = threading.Thread(target=self._run, args=(self._stop,), name="configkit-kafka-bus", daemon=True)
                self._thread.start()
            elif self._reader is None:
                raise UnavailableError("the brokers are out of reach", backend=BACKEND, operation="subscribe")
            else:
                self._add(subscriber)

        def unsubscribe() -> None:
            subscriber.active = False
            with self._lock:
                self._subscribers = tuple(other for other in self._subscribers if other is not subscriber)

        return unsubscribe

    def close(self) -> None:
        """End every subscription and the thread; waits for a delivery under way for a second at most."""
        self._closed = True
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)
        with self._lock:
            self._subscribers = ()

    def after_fork(self) -> None:
        """Forget the parent's thread, connections and subscribers: who wants events in the child subscribes there."""
        _INHERITED.append(self._reader)
        self._forget()

    def _add(self, subscriber: _Subscriber) -> None:
        with self._lock:
            self._subscribers += (subscriber,)

    def _run(self, stop: threading.Event) -> None:
        pause, failing = FIRST_PAUSE, False
        while not stop.is_set():
            try:
                if self._reader is None:
                    self._reader = self._connect()
                    self._tell(Resync("events may have been missed"))
                    log.info("events are read again")
                for record in self._reader.poll(POLL_SECONDS):
                    self._take_in(record)
                pause, failing = FIRST_PAUSE, False
            except Exception as error:
                if not failing:
                    log.warning("events cannot be read, trying on: %s", error, exc_info=_unexpected(error))
                failing = True
                self._disconnect()
                stop.wait(pause * chance.uniform(0.5, 1.0))
                pause = min(pause * 2, LONGEST_PAUSE)
        self._disconnect()

    def _disconnect(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            try:
                reader.close()
            except Exception:
                log.exception("a reader could not be closed")

    def _take_in(self, record: Any) -> None:
        try:
            event = cloudevents.decode(record.headers, record.value)
        except cloudevents.BrokenEventError as error:
            self._skip(record, f"is broken ({error})")
            return
        if event is None:
            self._skip(record, "is not from configkit")
            return
        self._skipping = False
        self._tell(event)

    def _skip(self, record: Any, why: str) -> None:
        # One line for many in a row: somebody else's flood is not to be ours too.
        level = logging.DEBUG if self._skipping else logging.WARNING
        self._skipping = True
        log.log(level, "a record of %s at %s/%s %s and is skipped", record.topic, record.partition, record.offset, why)

    def _tell(self, event: Event) -> None:
        for subscriber in self._subscribers:
            if not subscriber.active:
                continue
            try:
                subscriber.deliver(event)
            except Exception:
                log.exception("a subscriber failed on %s", type(event).__name__)


_INHERITED: list[Reader | None] = []


def _unexpected(error: Exception) -> Exception | None:
    return None if isinstance(error, ConfigKitError) else error
