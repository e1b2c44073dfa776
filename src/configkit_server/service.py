"""What every handler works with: the client, the caller's rules, and the server's own parts, with one lifetime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from configkit.client import ConfigKit
from configkit.models import Event
from configkit_server.auth import Auth
from configkit_server.bodies import Limits
from configkit_server.encoded import EncodedDocuments
from configkit_server.events import EventHub
from configkit_server.executor import Executor
from configkit_server.floods import Buckets
from configkit_server.metrics import Metrics
from configkit_server.ofrep import OfrepAnswers
from configkit_server.pings import Pings
from configkit_server.problems import REGISTRY_DISABLED, unavailable
from configkit_server.unrecorded import Unrecorded

if TYPE_CHECKING:
    from configkit.registry.checker import Checker
    from configkit_server.call import Call

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("configkit.server")


class Service:
    """
    The server's state for one application.

    Attributes:
        kit: The core, which its owner closes.
        executor: For reads. Writes, the backends' pings and the tokens have threads of their own: none waits for another.
        writes: For what waits for a turn at writing, which may be long in coming; see `write`.
        checking: For checks on demand, which take seconds where instances do not answer.
        parsing: For bodies so large that taking them apart would hold up the event loop.
        unrecorded: The outcomes of requests with an Idempotency-Key that the store could not take yet.
        changes: What was told last of the flags that changed, by environment and version, with the version it leads to.
        draining: The server is about to end: not ready, and no stream stays open.
    """

    def __init__(self, kit: ConfigKit, auth: Auth, limits: Limits, make_checker: Callable[[], Checker | None]) -> None:
        self.kit = kit
        self.auth = auth
        self.limits = limits
        self.executor = Executor(deadline=kit.calls.deadline)
        self.writes = Executor(workers=8, deadline=kit.calls.deadline)
        self.parsing = Executor(workers=2, deadline=kit.calls.deadline)
        self.unrecorded = Unrecorded(self.writes)
        self.metrics = Metrics()
        if kit.backends.readback is not None:
            self.metrics.show_readback(lambda: kit.documents.readback_seconds)
        self.metrics.show_flags(kit.flag_sets.usage)
        self.hub = EventHub(self.metrics)
        self.encoded = EncodedDocuments()
        self.changes: dict[tuple[str, int], tuple[int, bytes]] = {}
        self.registrations = Buckets(rate=50.0, burst=200)
        self.ofrep = OfrepAnswers()
        per_second = limits.ofrep_per_second
        self.evaluations = None if per_second is None else Buckets(rate=per_second, burst=max(1, round(2 * per_second)))
        self.checks = Buckets(rate=2.0, burst=20)
        self.checking = Executor(workers=8, waiting=16, deadline=kit.calls.deadline)
        self._asking = Executor(workers=8, deadline=kit.calls.deadline)
        self._tokens = Executor(workers=2, deadline=kit.calls.deadline)
        self.pings = Pings(kit.backends.ping, self._asking)
        self.draining = False
        self.started = False
        self.checker: Checker | None = None
        self._make_checker = make_checker
        self._unsubscribe: Callable[[], None] | None = None
        self._unlisten: Callable[[], None] | None = None
        self._starting: asyncio.Lock | None = None

    async def start(self) -> None:
        """Begin on the running event loop; a second call does nothing."""
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self.started:
                return
            self.hub.start()
            self._unsubscribe = self.kit.on_event(self._on_event)
            self._unlisten = self.kit.flag_sets.listen(lambda environment, _: self.hub.on_set(environment))
            if self.kit.registry_enabled:
                self.checker = self._make_checker()
                if self.checker is not None:
                    self.checker.start()
            await self.auth.start(self._tokens)
            self.started = True

    async def stop(self) -> None:
        """End everything that `start` began."""
        self.draining = True
        self.hub.drain()
        for end in (self._unsubscribe, self._unlisten):
            if end is not None:
                end()
        if self.checker is not None:
            await asyncio.to_thread(self.checker.close)
        await self.unrecorded.close()
        for executor in (self.executor, self.writes, self.parsing, self.checking, self._asking, self._tokens):
            await asyncio.to_thread(executor.close)

    async def write(self, call: Call, mutation: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out *mutation* for *call*, to its end where what becomes of it is to be recorded."""
        run = self.writes.run_to_end if call.is_recorded else self.writes.run
        return await run(mutation, *args, **kwargs)

    def drain(self) -> None:
        """Be unready from now on and end the streams; may be called from a signal handler or another thread."""
        self.draining = True
        self.hub.drain_soon()

    def require_registry(self) -> None:
        """Refuse if the registry is switched off."""
        if not self.kit.registry_enabled:
            raise unavailable("SERVICE_REGISTRY_ENABLED is false on this server", REGISTRY_DISABLED)

    def _on_event(self, event: Event) -> None:
        self.auth.on_event(event)
        self.hub.on_event(event)
