"""
What a process knows of the configuration, kept coherent by events.

What is known is answered from memory without a lock. A known document stays readable while a newer one is fetched;
one fetch per path is in flight at a time; and no slow fetch can undo what an event has told since (the order of
documents is (version, deleted)).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime

from configkit import chance
from configkit.calls import Calls
from configkit.config.absence import absence, tombstone
from configkit.config.readback import Readback, Turn
from configkit.config.shared import Order, Shared
from configkit.errors import ConfigKitError, NotFoundError
from configkit.models import ConfigChanged, ConfigPath, ConfigVersion, Event, Resync
from configkit.ports import Cache, ConfigStore

logger = logging.getLogger("configkit.config")

ABSENCE_SECONDS = 5.0
MAX_ABSENCES = 10_000
BULK = 8
"""From so many documents of one service on, reading the whole service is cheaper than reading each."""


class _Flight:
    """One fetch under way, and the least that it must bring."""

    def __init__(self) -> None:
        self.future: Future[ConfigVersion] = Future()
        self.minimum: Order = (0, False)


class Knowledge:
    """
    The documents that this process knows.

    Args:
        store: The truth.
        cache: Where what is known is kept.
        shared: What all processes share; None: nothing.
        readback: How many known keys per second are read again though nothing was heard of them; None: none.
    """

    def __init__(
        self, store: ConfigStore, cache: Cache, calls: Calls, *, shared: Shared | None = None, readback: float | None = None
    ) -> None:
        self._store = store
        self._cache = cache
        self._shared = shared
        self._readback = None if readback is None else Readback(readback, self._turns)
        self._calls = calls
        self._listeners: list[Callable[[ConfigVersion], None]] = []
        self._absent: dict[ConfigPath, tuple[ConfigVersion, float]] = {}
        self._services: dict[tuple[str, str], None] = {}
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._flights: dict[ConfigPath, _Flight] = {}
        self._loading: Counter[ConfigPath] = Counter()
        self._dirty: dict[ConfigPath, Order] = {}
        self._unread: dict[tuple[str, str], None] = {}
        self._refreshing = False
        self._failures = 0
        self._retry_at = 0.0

    def peek(self, path: ConfigPath) -> ConfigVersion | None:
        """
        Return what is known of *path* without I/O; None: nothing is known.

        A document with ``deleted`` says that there is no value; it has version 0 where none was ever written.
        """
        document = self._cache.get(path)
        if document is None and (absent := self._absent.get(path)) is not None:
            document, expires = absent
            if time.monotonic() > expires:
                self._mark(path, (0, False))
        return document

    def listen(self, changed: Callable[[ConfigVersion], None]) -> Callable[[], None]:
        """Call *changed* with each document that becomes known or newer; the answer ends it."""
        self._listeners.append(changed)
        return lambda: self._listeners.remove(changed) if changed in self._listeners else None

    def on_event(self, event: Event) -> None:
        """Take in what the bus tells."""
        if isinstance(event, Resync):
            self.resynchronise()
        elif isinstance(event, ConfigChanged):
            self._on_change(event)

    def resynchronise(self) -> None:
        """Read everything known again, in the background; until then it stays readable."""
        with self._lock:
            self._absent.clear()
            self._unread.update(self._services)
            for path in self._cache.paths():
                self._dirty.setdefault(path, (0, False))
        self._refresh_soon()

    def retry_due(self) -> None:
        """Begin a refresh that failed again, when its time has come; called now and then by the client."""
        if self._shared is not None:
            self._shared.settle()
        if self._readback is not None:
            self._read_back(self._readback)
        if (self._dirty or self._unread) and time.monotonic() >= self._retry_at:
            self._refresh_soon()

    @property
    def readback_seconds(self) -> float | None:
        """How long what others wrote straight into the store can stay unseen; None: nobody does, or not known yet."""
        return None if self._readback is None else self._readback.cycle_seconds

    def _read_back(self, readback: Readback) -> None:
        turns = readback.due(time.monotonic())
        with self._lock:
            for turn in turns:
                if isinstance(turn.target, ConfigPath):
                    self._dirty.setdefault(turn.target, (0, False))
                else:
                    self._unread[turn.target] = None

    def _turns(self) -> list[Turn]:
        sizes = Counter((path.environment, path.service_name) for path in self._cache.paths())
        turns = [Turn(service, max(1, sizes[service])) for service in self._services]
        paths = self._cache.paths()
        return turns + [Turn(path) for path in paths if (path.environment, path.service_name) not in self._services]

    @property
    def stale(self) -> bool:
        """Whether something known could not be read again although it may have changed."""
        return self._failures > 0

    def after_fork(self, cache: Cache) -> None:
        """Begin anew in a forked child: what is known stays, to be read again."""
        for path in self._cache.paths():
            if (document := self._cache.get(path)) is not None:
                cache.put(document)
        self._cache = cache
        if self._shared is not None:
            self._shared.after_fork()
        self._reset()

    def _on_change(self, event: ConfigChanged) -> None:
        if self._shared is not None:
            self._shared.heard(event.path, event.version, deleted=event.deleted)
        gone = tombstone(event.path, event.version, event.at) if event.deleted and event.version is not None else None
        with self._lock:
            if not self._is_known(event.path):
                return
            known = self._cache.get(event.path)
            if known is not None and event.version is not None and known.order >= (event.version, event.deleted):
                return
            if gone is not None:
                told = self._put(gone, replace=False)
            else:
                self._mark(event.path, (event.version or 0, event.deleted))
                told = False
        if told and gone is not None:
            self._tell(gone)

    def _is_known(self, path: ConfigPath) -> bool:
        under_way = path in self._flights or path in self._loading
        in_service = (path.environment, path.service_name) in self._services
        return under_way or in_service or path in self._absent or self._cache.get(path) is not None

    def _mark(self, path: ConfigPath, order: Order) -> None:
        with self._lock:
            if (flight := self._flights.get(path)) is not None:
                flight.minimum = max(flight.minimum, order)
            self._dirty[path] = max(self._dirty.get(path, order), order)
        self._refresh_soon()

    def _refresh_soon(self) -> None:
        with self._lock:
            if self._refreshing or time.monotonic() < self._retry_at:
                return
            self._refreshing = True
        try:
            self._calls.submit(self._refresh)
        except ConfigKitError:
            with self._lock:
                self._refreshing = False

    def _refresh(self) -> None:
        while True:
            with self._lock:
                dirty, self._dirty = self._dirty, {}
                unread, self._unread = self._unread, {}
                if not dirty and not unread:
                    self._refreshing = False
                    return
            try:
                self._read_again(dirty, unread)
            except Exception as error:  # noqa: BLE001  whatever it was, what is known stays, and it is tried again
                self._failed(dirty, unread, error)
                return
            self._failures = 0

    def _read_again(self, dirty: dict[ConfigPath, Order], unread: dict[tuple[str, str], None]) -> None:
        by_service: dict[tuple[str, str], list[ConfigPath]] = {service: [] for service in unread}
        for path in dirty:
            by_service.setdefault((path.environment, path.service_name), []).append(path)
        for service, marked in by_service.items():
            # Only what an event told of is looked for in the shared cache; a resynchronisation asks the store.
            paths = [path for path in marked if not dirty[path][0] or self._find_shared(path, dirty[path]) is None]
            found: dict[str, ConfigVersion] = {}
            if service in unread or len(paths) >= BULK:
                found = self.load_service(*service, remember=service in unread)
            for path in paths:
                document = found.get(path.key)
                if document is None or document.order < dirty[path]:
                    self.load(path)

    def _failed(self, dirty: dict[ConfigPath, Order], unread: dict[tuple[str, str], None], error: Exception) -> None:
        with self._lock:
            self._dirty = {**dirty, **self._dirty}
            self._unread.update(unread)
            self._failures += 1
            self._retry_at = time.monotonic() + min(5.0, 0.1 * 2**self._failures) * chance.uniform(0.5, 1.0)
            self._refreshing = False
        if self._failures == 1:
            logger.warning("configuration could not be read again; the last known values stay: %s", error)

    # -- fetching ------------------------------------------------------------------------------------------------------

    def fetch(self, path: ConfigPath) -> ConfigVersion:
        """Return what the store has, by one read for everybody who asks at the same time, within the deadline."""
        with self._lock:
            flight = self._flights.get(path)
            started = flight is None
            if flight is None:
                flight = self._flights[path] = _Flight()
        if started:
            self._take_off(path, flight)
        return self._calls.wait_shared(flight.future)

    def _take_off(self, path: ConfigPath, flight: _Flight) -> None:
        try:
            self._calls.submit(self._fly, path, flight)
        except ConfigKitError as error:
            with self._lock:
                self._flights.pop(path, None)
            flight.future.set_exception(error)

    def _fly(self, path: ConfigPath, flight: _Flight) -> None:
        try:
            document = self._find_shared(path, flight.minimum) or self.load(path)
            while True:
                with self._lock:
                    if document.order >= flight.minimum:
                        self._flights.pop(path, None)
                        break
                    flight.minimum = (0, False)
                document = self.load(path)
        except BaseException as error:  # noqa: BLE001  everyone who waits gets it
            with self._lock:
                self._flights.pop(path, None)
            flight.future.set_exception(error)
        else:
            flight.future.set_result(document)

    def _find_shared(self, path: ConfigPath, minimum: Order) -> ConfigVersion | None:
        found = None if self._shared is None else self._shared.find(path, minimum)
        if found is None:
            return None
        self.keep(found)
        known = self._cache.get(path)
        return found if known is None or known.order < found.order else known

    def load(self, path: ConfigPath) -> ConfigVersion:
        """Read *path* from the store and keep it; absence is a document too."""
        with self._listened_to(path):
            before, begun = self._cache.get(path), time.monotonic()
            try:
                document = self._store.read(path)
            except NotFoundError as error:
                document = tombstone(path, error.version, datetime.now(UTC)) if error.deleted else absence(path)
            return self._keep_read(document, before, begun)

    @contextmanager
    def _listened_to(self, path: ConfigPath) -> Iterator[None]:
        """Let no event of *path* be passed over while it is read, although it may not be known yet."""
        with self._lock:
            self._loading[path] += 1
        try:
            yield
        finally:
            with self._lock:
                self._loading[path] -= 1
                if not self._loading[path]:
                    del self._loading[path]

    def load_service(self, environment: str, service_name: str, *, remember: bool = True) -> dict[str, ConfigVersion]:
        """Read every key of a service from the store and keep them; *remember* to read them all again at a resynchronisation."""
        service, begun = (environment, service_name), time.monotonic()
        before = {p: self._cache.get(p) for p in self._cache.paths() if (p.environment, p.service_name) == service}
        if remember:
            with self._lock:
                self._services[service] = None
        found = self._store.read_service(environment, service_name)
        for document in found.values():
            self._keep_read(document, before.get(document.path), begun)
        for path, known in before.items():
            if known is not None and not known.deleted and path.key not in found:
                self.load(path)
        return found

    def _keep_read(self, document: ConfigVersion, before: ConfigVersion | None, begun: float) -> ConfigVersion:
        """Keep what the store showed, unless something newer came since *before* was looked at, when the reading had *begun*."""
        with self._lock:
            now = self._cache.get(document.path)
            if now is not None and now is not before and now.order >= document.order:
                return now
            # Nothing has come since, so a lower version is the truth: a restored backup, or metadata destroyed.
            changed = self._put(document, replace=True)
        if changed:
            self._share(document, before, begun)
            self._tell(document)
        return document

    def _share(self, document: ConfigVersion, before: ConfigVersion | None, begun: float) -> None:
        if self._shared is None:
            return
        if before is not None and document.order < before.order:
            self._shared.went_back(document.path)
        self._shared.fill(document, begun=begun)

    def keep(self, document: ConfigVersion) -> None:
        """Keep *document* if it is newer than what is known, and tell the listeners."""
        with self._lock:
            changed = self._put(document, replace=False)
        if changed:
            self._tell(document)

    def _put(self, document: ConfigVersion, *, replace: bool) -> bool:
        """Keep *document* and return whether that changes what readers see; the lock is held."""
        before = self._cache.get(document.path)
        if document.version == 0:
            self._keep_absence(document, before)
        else:
            self._absent.pop(document.path, None)
            if not self._cache.put(document, replace=replace):
                return False
        return before is None or before.order != document.order or before.updated_at != document.updated_at

    def _keep_absence(self, document: ConfigVersion, before: ConfigVersion | None) -> None:
        if before is not None and not before.deleted:
            self._cache.put(document, replace=True)
            return
        if len(self._absent) >= MAX_ABSENCES:
            self._absent.clear()
        expires = time.monotonic() + ABSENCE_SECONDS * chance.uniform(0.8, 1.2)
        self._absent[document.path] = (document, expires)

    def _tell(self, document: ConfigVersion) -> None:
        for listener in list(self._listeners):
            try:
                listener(document)
            except Exception:
                logger.exception("a listener failed on %s", document.path)
