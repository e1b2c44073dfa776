"""The client: owns the threads and the lifecycle, and hands out `.config`, `.flags` and `.services`."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from configkit import chance
from configkit.calls import Calls
from configkit.config.documents import Documents
from configkit.config.view import Config
from configkit.errors import AccessDeniedError, ClosedError, ConfigKitError
from configkit.flags.client import Flags
from configkit.flags.sets import FlagSets
from configkit.flags.shared import SharedFlagStore
from configkit.models import Event, Origin, Resync
from configkit.names import DEFAULT_ENVIRONMENTS, check_environment, check_service_name
from configkit.ports import Backends, Cache
from configkit.registry.discovery import Services
from configkit.registry.lifecycle import Registered, Registrar

logger = logging.getLogger("configkit")

START_SECONDS = 0.9
HOUSEKEEPING_SECONDS = 0.25
DENIED_SECONDS = 30.0
"""What was denied is asked for again this much later: credentials change seldom."""


@dataclass(frozen=True, slots=True)
class Status:
    """
    How the client is.

    Attributes:
        mode: What it runs on.
        ready: It has subscribed to changes and read what it preloads.
        missing: What it still waits for.
        stale: What it answers from the last known good, because it could not be read again.
        refused: Bound models that keep their last good values, because the newest do not validate.
    """

    mode: str
    ready: bool
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    refused: tuple[str, ...] = ()


class ConfigKit:
    """
    Configuration, flags and services, from whichever backends it was wired to; `configkit.connect` makes one.

    Making it takes a second at most, whatever the backends do: what could not be read by then is read in the background.

    Args:
        service_name: This service; without one only shared configuration is in `.config`.
        environment: Where it runs.
        environments: Those that exist.
        deadline: Seconds within which every call is answered.
        registry_enabled: False makes registering do nothing.
        start_within: Seconds for which making it waits for the first reads.
        threads: False for tests: every call runs in its caller's thread, and nothing runs in the background.
    """

    def __init__(
        self,
        backends: Backends,
        *,
        service_name: str | None = None,
        environment: str = DEFAULT_ENVIRONMENTS[0],
        environments: frozenset[str] = frozenset(DEFAULT_ENVIRONMENTS),
        deadline: float = 5.0,
        origin: Origin | None = None,
        registry_enabled: bool = True,
        instance_id: str | None = None,
        threads: bool = True,
        start_within: float = START_SECONDS,
    ) -> None:
        self.environment = check_environment(environment, allowed=environments)
        self.service_name = None if service_name is None else check_service_name(service_name)
        self.environments = environments
        self.registry_enabled = registry_enabled
        self.backends = backends
        self.origin = origin or Origin(self.service_name or "library", f"library {os.uname().nodename} pid {os.getpid()}")
        self._threads = threads
        self._start_within = start_within
        self._listeners: list[Callable[[Event], None]] = []
        self.calls = Calls(workers=16 if threads else 0, deadline=deadline)
        self.documents = Documents(
            backends.config,
            backends.cache or _fresh_cache(),
            self.calls,
            environments=environments,
            shared=backends.shared,
            readback=backends.readback,
        )
        self.config = Config(
            self.documents,
            self.calls,
            environment=environment,
            service_name=self.service_name,
            origin=self.origin,
            revive=self._revive,
        )
        flags = backends.flags if backends.blobs is None else SharedFlagStore(backends.flags, backends.blobs)
        self.flag_sets = FlagSets(flags, self.calls, poll=backends.poll)
        self.flags = Flags(self.flag_sets, environment, self.origin, revive=self._revive)
        self.services = Services(backends.registry, self.calls, blobs=backends.blobs, revive=self._revive)
        self._registrar = Registrar(
            backends.registry,
            service_name=self.service_name,
            origin=self.origin,
            enabled=registry_enabled,
            default_instance_id=instance_id,
            records=backends.records,
            threads=threads,
        )
        self._closed = False
        self._lock = threading.Lock()
        self._forget_threads()
        _KITS.add(self)
        self._start()

    # -- public --------------------------------------------------------------------------------------------------------

    def register(
        self,
        *,
        url: str,
        health_check_url: str | None = None,
        service_name: str | None = None,
        instance_id: str | None = None,
        weight: int = 1,
        zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
        ttl_seconds: float | None = None,
        ready: Callable[[], bool] | None = None,
        wait_until_healthy: bool = False,
    ) -> Registered:
        """
        Return what registers this process as an instance, for as long as something runs.

        It decorates a function (registered while it runs), wraps an ASGI application or its lifespan (registered from
        the end of its start-up to the beginning of its shut-down), or is a context manager. However the process ends,
        the instance is gone: at once where it ends cleanly or by SIGTERM, otherwise when its lease ends.

        Args:
            url: Where the instance is called.
            health_check_url: Where a GET answers 2xx while it is well.
            service_name: This client's service unless named.
            ttl_seconds: The length of the lease, which is renewed by itself; 5 to 3600.
            ready: Register only once this answers true; asked in the background.
            wait_until_healthy: Register only once the health check URL answers 2xx.

        Raises:
            InvalidDocumentError: Something of it is not allowed.
        """
        return self._registrar.register(
            url=url,
            health_check_url=health_check_url,
            service_name=service_name,
            instance_id=instance_id,
            weight=weight,
            zone=zone,
            metadata=metadata,
            ttl_seconds=ttl_seconds,
            ready=ready,
            wait_until_healthy=wait_until_healthy,
        )

    def on_event(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call *listener* with every event of the deployment, on a thread of the client; the answer ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def status(self) -> Status:
        """Return how the client is, without asking any backend."""
        missing: tuple[str, ...] = () if self._unsubscribe is not None else ("events",)
        missing += tuple(sorted(self._unloaded))
        parts = (
            ("config", self.documents.stale),
            ("flags", any(one.stale for one in self.flag_sets.status().values())),
            ("registry", self.services.stale),
        )
        stale = tuple(name for name, is_stale in parts if is_stale)
        return Status(self.backends.mode, not missing and not self._closed, missing, stale, self.config.refused)

    def close(self) -> None:
        """Deregister, stop every thread and close every connection; takes two seconds at most. Closing again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._registrar.close()
        self._stop.set()
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._housekeeper is not None and self._housekeeper is not threading.current_thread():
            self._housekeeper.join(1.0)
        self.calls.close()
        self.backends.close()
        _KITS.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- lifecycle -----------------------------------------------------------------------------------------------------

    def _forget_threads(self) -> None:
        self._stop = threading.Event()
        self._housekeeper: threading.Thread | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._loads: dict[str, Callable[[], object]] = {"flags": lambda: self.flag_sets.ensure(self.environment)}
        if self.service_name is not None:
            self._loads["config"] = self.config.load
        self._unloaded = set(self._loads)
        self._denied_until: dict[str, float] = {}
        self._complained = False
        self._reconcile_at = 0.0
        self._forked = False

    def _start(self) -> None:
        if not self._threads:
            self._begin()
            return
        first = threading.Event()
        self._housekeeper = threading.Thread(target=self._keep_house, args=(first, self._stop), name="configkit", daemon=True)
        self._housekeeper.start()
        first.wait(self._start_within)

    def _keep_house(self, first: threading.Event, stop: threading.Event) -> None:
        pause = HOUSEKEEPING_SECONDS
        while not stop.is_set():
            begun = self._begin()
            first.set()
            pause = HOUSEKEEPING_SECONDS if begun else min(pause * 2, 5.0)
            for part in (self.documents, self.flag_sets, self.services):
                part.retry_due()
            self._reconcile()
            stop.wait(pause)

    def _reconcile(self) -> None:
        """Read what is known again now and then, where announcements can be lost (flag sets see to themselves)."""
        poll, now = self.backends.poll, time.monotonic()
        if poll is None or now < self._reconcile_at:
            return
        if self._reconcile_at:
            self.documents.resynchronise()
        self._reconcile_at = now + poll * chance.uniform(0.8, 1.2)

    def _begin(self) -> bool:
        """Subscribe first, then load, so that no change falls between; whatever fails is done again later."""
        if self._unsubscribe is None and not self._attempt(self._subscribe):
            return False
        now = time.monotonic()
        due = [name for name in sorted(self._unloaded) if now >= self._denied_until.get(name, 0.0)]
        loaded = [self._attempt(self._load, name) for name in due]
        if all(loaded):
            self._complained = False
        return all(loaded)

    def _subscribe(self) -> None:
        self._unsubscribe = self.backends.bus.subscribe(self._deliver)

    def _load(self, name: str) -> None:
        try:
            self._loads[name]()
        except AccessDeniedError:
            self._denied_until[name] = time.monotonic() + DENIED_SECONDS
            raise
        self._unloaded.discard(name)

    def _attempt(self, step: Callable[..., None], *arguments: str) -> bool:
        try:
            step(*arguments)
        except ClosedError:
            return False
        except ConfigKitError as error:
            if not self._complained:
                logger.warning("not everything could be read yet; trying on: %s", error)
                self._complained = True
            return False
        return True

    def _deliver(self, event: Event) -> None:
        for receive in (self.documents.on_event, self.flag_sets.on_event, self.services.on_event, *self._listeners):
            try:
                receive(event)
            except ClosedError:
                return
            except Exception:
                logger.exception("an event could not be taken in")

    # -- fork ----------------------------------------------------------------------------------------------------------

    def _after_fork(self) -> None:
        """Drop what the parent's threads and sockets were; the first read that misses starts this process's own."""
        if self._closed:
            return
        self._lock = threading.Lock()
        self._forget_threads()
        self._forked = True
        self.backends.after_fork()
        self.calls.after_fork()
        self.documents.after_fork(_fresh_cache())
        for part in (self.config, self.flag_sets, self.flags, self.services, self._registrar):
            part.after_fork()

    def _revive(self) -> None:
        if self._closed:
            raise ClosedError
        if not self._forked:
            return
        with self._lock:
            if not self._forked:
                return
            self._forked = False
            self.config.restore()
            self._start()
        self._deliver(Resync("forked"))


def _fresh_cache() -> Cache:
    from configkit.backends.memory import MemoryCache  # noqa: PLC0415  no backend is loaded by an import alone

    return MemoryCache()


_KITS: weakref.WeakSet[ConfigKit] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for kit in list(_KITS):
        kit._after_fork()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork_in_child)
