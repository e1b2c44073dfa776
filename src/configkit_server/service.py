"""What every handler works with: the client, the caller's rules, and the server's own parts, with one lifetime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from configkit.client import ConfigKit
from configkit.models import Event
from configkit_server.auth import Auth
from configkit_server.bodies import Limits
from configkit_server.encoded import EncodedDocuments
from configkit_server.events import EventHub
from configkit_server.executor import Executor
from configkit_server.floods import Buckets
from configkit_server.metrics import Metrics
from configkit_server.pings import Pings
from configkit_server.problems import REGISTRY_DISABLED, unavailable

if TYPE_CHECKING:
    from configkit.registry.checker import Checker

logger = logging.getLogger("configkit.server")


class Service:
    """
    The server's state for one application.

    Attributes:
        kit: The core, which its owner closes.
        background: What goes on after a request was answered.
        draining: The server is about to end: not ready, and no stream stays open.
    """

    def __init__(self, kit: ConfigKit, auth: Auth, limits: Limits, make_checker: Callable[[], Checker | None]) -> None:
        self.kit = kit
        self.auth = auth
        self.limits = limits
        self.executor = Executor(deadline=kit.calls.deadline)
        self.metrics = Metrics()
        if kit.backends.readback is not None:
            self.metrics.show_readback(lambda: kit.documents.readback_seconds)
        self.hub = EventHub(self.metrics)
        self.encoded = EncodedDocuments()
        self.registrations = Buckets(rate=50.0, burst=200)
        self.checks = Buckets(rate=5.0, burst=50)
        self.pings = Pings(kit.backends.ping, self.executor)
        self.background: set[asyncio.Task[None]] = set()
        self.draining = False
        self.started = False
        self.checker: Checker | None = None
        self._make_checker = make_checker
        self._unsubscribe: Callable[[], None] | None = None
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
            if self.kit.registry_enabled:
                self.checker = self._make_checker()
                if self.checker is not None:
                    self.checker.start()
            await self.auth.start(self.executor)
            self.started = True

    async def stop(self) -> None:
        """End everything that `start` began."""
        self.draining = True
        self.hub.drain()
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self.checker is not None:
            await asyncio.to_thread(self.checker.close)
        await asyncio.to_thread(self.executor.close)

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
