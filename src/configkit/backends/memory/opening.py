"""Opening a deployment that lives and dies with this process."""

from __future__ import annotations

import time
from collections.abc import Callable

from configkit.backends.memory.bus import MemoryBus
from configkit.backends.memory.changes import MemoryChangeJournal
from configkit.backends.memory.config import MemoryConfigStore
from configkit.backends.memory.flags import MemoryFlagStore
from configkit.backends.memory.idempotency import MemoryIdempotencyStore
from configkit.backends.memory.journal import MemoryJournal
from configkit.backends.memory.registry import MemoryRegistry
from configkit.backends.memory.tokens import MemoryTokenStore
from configkit.ports import Backends


def open_memory(*, deadline: float = 5.0, threads: bool = True, clock: Callable[[], float] = time.monotonic) -> Backends:  # noqa: ARG001
    """
    Return a new, empty deployment in this process.

    Args:
        deadline: As for every other backend; nothing here waits.
        threads: Deliver events on a thread for each subscriber. Without, they are delivered in the writer's own call,
            after its change was made: when a write has returned, its subscribers have been told.
        clock: The monotonic time of leases, checks and claims, in seconds.
    """
    bus = MemoryBus(threads=threads)
    journal = MemoryJournal(bus.publish)
    registry = MemoryRegistry(journal, clock=clock)

    def after_fork() -> None:
        journal.after_fork()
        bus.after_fork()

    return Backends(
        mode="memory",
        config=MemoryConfigStore(journal),
        flags=MemoryFlagStore(journal),
        registry=registry,
        bus=bus,
        close=bus.close,
        after_fork=after_fork,
        ping={"memory": _answer},
        records=registry,
        tokens=MemoryTokenStore(journal),
        idempotency=MemoryIdempotencyStore(clock=clock),
        journal=journal,
        changes=MemoryChangeJournal(journal, clock=clock),
    )


def _answer() -> None:
    """Memory is in reach as long as anybody can ask."""
