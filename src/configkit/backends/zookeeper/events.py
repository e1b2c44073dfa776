"""ZooKeeper's watches as events of the deployment, beside those of another bus."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

from configkit.backends.zookeeper.registry import ZooKeeperRegistry
from configkit.models import Event, RegistryChanged, utcnow
from configkit.ports import EventBus


class RegistryEvents:
    """
    An `EventBus` that tells what *bus* tells, and of instances that come and go without any server knowing: those that
    hold their nodes themselves. A change may be told twice.
    """

    def __init__(self, bus: EventBus, zookeeper: ZooKeeperRegistry) -> None:
        self._bus = bus
        self._zookeeper = zookeeper

    def subscribe(self, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """Deliver every event, one at a time; the answer ends it. Raises `UnavailableError` if *bus* cannot be reached."""
        one_at_a_time = threading.Lock()

        def in_turn(event: Event) -> None:
            with one_at_a_time:
                deliver(event)

        def changed(service_name: str) -> None:
            in_turn(RegistryChanged(f"zookeeper-{uuid.uuid4().hex}", service_name, utcnow()))

        end_bus = self._bus.subscribe(in_turn)
        end_watches = self._zookeeper.listen(changed)

        def end() -> None:
            end_watches()
            end_bus()

        return end
