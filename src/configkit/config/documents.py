"""
Documents: configuration at any path, cached in the process and kept coherent by events.

What is known is answered from memory without a lock. A known document stays readable while a newer one is fetched;
one fetch per path is in flight at a time; and no slow fetch can undo what an event has told since (the order of
documents is (version, deleted)).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

from configkit import values
from configkit.calls import Calls
from configkit.errors import ConfigKitError, NotFoundError
from configkit.models import ConfigChanged, ConfigPath, ConfigSelector, ConfigVersion, Event, Origin, Page, Resync
from configkit.names import check_environment
from configkit.ports import Cache, ConfigStore
from configkit.values import JsonValue

logger = logging.getLogger("configkit.config")

ABSENCE_SECONDS = 5.0
MAX_ABSENCES = 10_000
BULK = 8
"""From so many documents of one service on, reading the whole service is cheaper than reading each."""

Order = tuple[int, bool]
_NEVER = datetime.fromtimestamp(0, UTC)


def absence(path: ConfigPath) -> ConfigVersion:
    """Return the document that says: nothing was ever written at *path*."""
    return tombstone(path, 0, _NEVER)


def tombstone(path: ConfigPath, version: int, at: datetime) -> ConfigVersion:
    """Return the document that says: *version* of *path* is deleted."""
    return ConfigVersion(path, version, None, is_encrypted=False, ever_secret=False, created_at=at, updated_at=at, deleted=True)


class _Flight:
    """One fetch under way, and the least that it must bring."""

    def __init__(self) -> None:
        self.future: Future[ConfigVersion] = Future()
        self.minimum: Order = (0, False)


class Documents:
    """
    Cached reads and compare-and-set writes of configuration at any path.

    Args:
        store: The truth.
        cache: The process's memory.
        environments: The environments that exist.
    """

    def __init__(self, store: ConfigStore, cache: Cache, calls: Calls, *, environments: frozenset[str]) -> None:
        self._store = store
        self._cache = cache
        self._calls = calls
        self._environments = environments
        self._listeners: list[Callable[[ConfigVersion], None]] = []
        self._absent: dict[ConfigPath, tuple[ConfigVersion, float]] = {}
        self._services: dict[tuple[str, str], None] = {}
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._flights: dict[ConfigPath, _Flight] = {}
        self._dirty: dict[ConfigPath, Order] = {}
        self._unread: dict[tuple[str, str], None] = {}
        self._refreshing = False
        self._failures = 0
        self._retry_at = 0.0

    # -- reads ---------------------------------------------------------------------------------------------------------

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

    def read(self, path: ConfigPath, version: int | None = None, *, fresh: bool = False) -> ConfigVersion:
        """
        Return the latest document, or *version*; what is not known is fetched once under the deadline.

        Args:
            fresh: Ask the store even if the document is known.

        Raises:
            NotFoundError: There is none; ``deleted`` and ``version`` tell of a tombstone.
            UnavailableError: It is not known, and the store did not answer.
        """
        check_environment(path.environment, allowed=self._environments)
        if version is not None:
            return self._calls.run(self._store.read, path, version)
        document = None if fresh else self.peek(path)
        if document is None:
            document = self._calls.run(self._load, path) if fresh else self._fetch(path)
        if document.deleted:
            what = f"version {document.version} of {path} is deleted" if document.version else f"{path} does not exist"
            raise NotFoundError(what, deleted=document.version > 0, version=document.version)
        return document

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        """Return every live key of a service as the store has it, and keep it known from now on."""
        check_environment(environment, allowed=self._environments)
        return self._calls.run(self._load_service, environment, service_name)

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return a page of the store's list."""
        return self._calls.run(self._store.list, selector, limit=limit, offset=offset)

    def history(self, path: ConfigPath, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return the versions of *path*, newest first. Raises `NotFoundError`."""
        check_environment(path.environment, allowed=self._environments)
        return self._calls.run(self._store.history, path, limit=limit, offset=offset)

    # -- writes --------------------------------------------------------------------------------------------------------

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """Write the first version of a key. Raises as `ConfigStore.create` does; the deadline makes it `UnavailableError`."""
        self._check(path, value)
        document = self._calls.run(self._store.create, path, value, is_encrypted=is_encrypted, origin=origin, comment=comment)
        return self._written(document, value)

    def update(
        self,
        path: ConfigPath,
        value: JsonValue,
        *,
        origin: Origin,
        is_encrypted: bool | None = None,
        expected_version: int | None = None,
        comment: str | None = None,
        adopt: bool = False,
    ) -> ConfigVersion:
        """Write the next version of a key. Raises as `ConfigStore.update` does."""
        self._check(path, value)
        document = self._calls.run(
            self._store.update,
            path,
            value,
            origin=origin,
            is_encrypted=is_encrypted,
            expected_version=expected_version,
            comment=comment,
            adopt=adopt,
        )
        return self._written(document, value)

    def delete(self, path: ConfigPath, *, origin: Origin, expected_version: int | None = None) -> int:
        """Soft-delete the latest version and return its number. Raises as `ConfigStore.delete` does."""
        check_environment(path.environment, allowed=self._environments)
        version = self._calls.run(self._store.delete, path, origin=origin, expected_version=expected_version)
        self._keep(tombstone(path, version, datetime.now(UTC)))
        return version

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> ConfigVersion:
        """Write the value of *version* as a new version. Raises as `ConfigStore.rollback` does."""
        check_environment(path.environment, allowed=self._environments)
        document = self._calls.run(self._store.rollback, path, version, origin=origin, comment=comment)
        if document.masked:
            return self._calls.run(self._load, path)
        self._keep(document)
        return document

    def _check(self, path: ConfigPath, value: JsonValue) -> None:
        check_environment(path.environment, allowed=self._environments)
        values.encode(value)

    def _written(self, document: ConfigVersion, value: JsonValue) -> ConfigVersion:
        known = replace(document, value=values.copy(value), masked=False) if document.masked else document
        self._keep(known)
        return known

    # -- coherence -----------------------------------------------------------------------------------------------------

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
        if (self._dirty or self._unread) and time.monotonic() >= self._retry_at:
            self._refresh_soon()

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
        self._reset()

    def _on_change(self, event: ConfigChanged) -> None:
        if event.version is not None and event.deleted:
            with self._lock:
                if self._is_known(event.path):
                    self._keep(tombstone(event.path, event.version, event.at))
            return
        order = (event.version or 0, event.deleted)
        with self._lock:
            known = self._cache.get(event.path)
            if known is not None and event.version is not None and known.order >= order:
                return
            if self._is_known(event.path):
                self._mark(event.path, order)

    def _is_known(self, path: ConfigPath) -> bool:
        flight = self._flights.get(path)
        in_service = (path.environment, path.service_name) in self._services
        return flight is not None or in_service or path in self._absent or self._cache.get(path) is not None

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
        for service, paths in by_service.items():
            found: dict[str, ConfigVersion] = {}
            if service in unread or len(paths) >= BULK:
                found = self._load_service(*service, remember=service in unread)
            for path in paths:
                document = found.get(path.key)
                if document is None or document.order < dirty[path]:
                    self._load(path)

    def _failed(self, dirty: dict[ConfigPath, Order], unread: dict[tuple[str, str], None], error: Exception) -> None:
        with self._lock:
            self._dirty = {**dirty, **self._dirty}
            self._unread.update(unread)
            self._failures += 1
            self._retry_at = time.monotonic() + min(5.0, 0.1 * 2**self._failures) * random.uniform(0.5, 1.0)  # noqa: S311
            self._refreshing = False
        if self._failures == 1:
            logger.warning("configuration could not be read again; the last known values stay: %s", error)

    # -- fetching ------------------------------------------------------------------------------------------------------

    def _fetch(self, path: ConfigPath) -> ConfigVersion:
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
            document = self._load(path)
            while True:
                with self._lock:
                    if document.order >= flight.minimum:
                        self._flights.pop(path, None)
                        break
                    flight.minimum = (0, False)
                document = self._load(path)
        except BaseException as error:  # noqa: BLE001  everyone who waits gets it
            with self._lock:
                self._flights.pop(path, None)
            flight.future.set_exception(error)
        else:
            flight.future.set_result(document)

    def _load(self, path: ConfigPath) -> ConfigVersion:
        before = self._cache.get(path)
        try:
            document = self._store.read(path)
        except NotFoundError as error:
            document = tombstone(path, error.version, datetime.now(UTC)) if error.deleted else absence(path)
        return self._keep_read(document, before)

    def _load_service(self, environment: str, service_name: str, *, remember: bool = True) -> dict[str, ConfigVersion]:
        service = (environment, service_name)
        before = {p: self._cache.get(p) for p in self._cache.paths() if (p.environment, p.service_name) == service}
        if remember:
            with self._lock:
                self._services[service] = None
        found = self._store.read_service(environment, service_name)
        for document in found.values():
            self._keep_read(document, before.get(document.path))
        for path, known in before.items():
            if known is not None and not known.deleted and path.key not in found:
                self._load(path)
        return found

    def _keep_read(self, document: ConfigVersion, before: ConfigVersion | None) -> ConfigVersion:
        """Keep what the store showed, unless something newer came since *before* was looked at."""
        with self._lock:
            now = self._cache.get(document.path)
            if now is not None and now is not before and now.order >= document.order:
                return now
            # Nothing has come since, so a lower version is the truth: a restored backup, or metadata destroyed.
            self._keep(document, replace=True)
        return document

    def _keep(self, document: ConfigVersion, *, replace: bool = False) -> None:
        path = document.path
        with self._lock:
            before = self._cache.get(path)
            if document.version == 0:
                self._keep_absence(document, before)
            else:
                self._absent.pop(path, None)
                if not self._cache.put(document, replace=replace):
                    return
            changed = before is None or before.order != document.order or (replace and before.updated_at != document.updated_at)
        if changed:
            self._tell(document)

    def _keep_absence(self, document: ConfigVersion, before: ConfigVersion | None) -> None:
        if before is not None and not before.deleted:
            self._cache.put(document, replace=True)
            return
        if len(self._absent) >= MAX_ABSENCES:
            self._absent.clear()
        expires = time.monotonic() + ABSENCE_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
        self._absent[document.path] = (document, expires)

    def _tell(self, document: ConfigVersion) -> None:
        for listener in list(self._listeners):
            try:
                listener(document)
            except Exception:
                logger.exception("a listener failed on %s", document.path)
