"""Registering with a registry that keeps no journal: the audit trail hears of it, and never stands in the way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Literal

from configkit.errors import ConfigKitError
from configkit.models import Origin, ServiceInstance
from configkit.ports import Journal, ServiceRegistryClient

logger = logging.getLogger("configkit.registry")

PATIENCE_SECONDS = 0.5
"""So long a registration waits for its line in the journal: a service must be found though the database is away."""


class JournaledRegistry:
    """
    A `ServiceRegistryClient` whose truth is *registry*, and whose changes are in *journal*.

    Who is there is the registry's to say, so a journal that cannot be written to is only logged.
    """

    def __init__(self, registry: ServiceRegistryClient, journal: Journal) -> None:
        self._registry = registry
        self._journal = journal
        self.heartbeat = registry.heartbeat
        self.instances = registry.instances
        self.services = registry.services

    def register(
        self, instance: ServiceInstance, *, ttl_seconds: float | None = None, origin: Origin
    ) -> tuple[ServiceInstance, bool]:
        """List *instance*. Raises as `ServiceRegistryClient.register`."""
        answer = self._registry.register(instance, ttl_seconds=ttl_seconds, origin=origin)
        self._note("register", instance.service_name, answer[0].instance_id, origin)
        return answer

    def deregister(self, service_name: str, instance_id: str, *, origin: Origin) -> None:
        """Remove the instance. Raises as `ServiceRegistryClient.deregister`."""
        self._registry.deregister(service_name, instance_id, origin=origin)
        self._note("deregister", service_name, instance_id, origin)

    def _note(self, action: Literal["register", "deregister"], service_name: str, instance_id: str, origin: Origin) -> None:
        def record() -> None:
            try:
                self._journal.record_registration(action, service_name, instance_id, origin=origin)
            except ConfigKitError as error:
                logger.warning("that %s/%s did %s could not be journalled: %s", service_name, instance_id, action, error)

        _within(PATIENCE_SECONDS, record)


def _within(seconds: float, act: Callable[[], None]) -> None:
    """Do *act*, and go on without it where it takes longer."""
    thread = threading.Thread(target=act, name="configkit-journal", daemon=True)
    thread.start()
    thread.join(seconds)
