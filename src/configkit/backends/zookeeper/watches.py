"""Telling that the instances of a service have changed, of the services that somebody has asked for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from kazoo.protocol.states import EventType, WatchedEvent

from configkit.backends.zookeeper.session import Session

logger = logging.getLogger("configkit.zookeeper")

_REMEMBERED_SECONDS = 600.0
_MOST_SERVICES = 4096
_GATHER_SECONDS = 0.02

Listener = Callable[[str], None]
Watch = Callable[[WatchedEvent], None]


class Watches:
    """
    One watch for each service that is read, set anew with each reading.

    ZooKeeper's watches fire once. So a change is told, whoever is told reads the service again, and that reading sets
    the watch before it lists: nothing is missed between the two. After a reconnection every service is told.
    """

    def __init__(self, session: Session) -> None:
        session.on_connected.append(self._on_connected)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()
        self._asked: dict[str, tuple[float, Watch]] = {}
        self._changed: set[str] = set()
        self._work = threading.Event()
        self._again = self._closed = False
        self._thread: threading.Thread | None = None

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* with the name of each service that has changed, in a thread of this object; the answer ends it."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
            self._start()

        def end() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

        return end

    def of(self, service: str) -> Watch:
        """Return the watch to set while reading *service*."""
        now = time.monotonic()
        with self._lock:
            known = self._asked.get(service)
            watch = partial(self._on_event, service) if known is None else known[1]
            if known is None and len(self._asked) >= _MOST_SERVICES:
                self._forget_old(now)
            self._asked[service] = (now, watch)
            return watch

    def close(self) -> None:
        """Tell nobody any more."""
        self._closed = True
        self._work.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(0.5)

    def after_fork(self) -> None:
        """Begin anew in a forked child, without listeners: theirs are the parent's threads."""
        self._begin_anew()

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="configkit-zookeeper-watches", daemon=True)
            self._thread.start()

    def _forget_old(self, now: float) -> None:
        ages = sorted(self._asked.items(), key=lambda item: item[1][0])
        for service, (asked_at, _) in ages[: max(1, len(ages) // 8)]:
            if now - asked_at > _REMEMBERED_SECONDS or len(self._asked) >= _MOST_SERVICES:
                del self._asked[service]

    def _on_event(self, service: str, event: WatchedEvent) -> None:
        if event.type != EventType.NONE:
            self._changed.add(service)
            self._work.set()

    def _on_connected(self) -> None:
        self._again = True
        self._work.set()

    def _run(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            if self._closed:
                return
            threading.Event().wait(_GATHER_SECONDS)
            for service in self._take():
                for listener in self._listeners:
                    try:
                        listener(service)
                    except Exception:
                        logger.exception("a listener for changes of %s failed", service)

    def _take(self) -> list[str]:
        with self._lock:
            if self._again:
                self._again = False
                now = time.monotonic()
                self._changed.update(name for name, (asked_at, _) in self._asked.items() if now - asked_at <= _REMEMBERED_SECONDS)
            changed, self._changed = self._changed, set()
        return sorted(changed)
