"""Everything that one client runs on, and what a closer look at it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from configkit.ports.access import IdempotencyStore, TokenStore
from configkit.ports.caches import BlobCache, Cache
from configkit.ports.changes import ChangeJournal, EventBus, Journal
from configkit.ports.registry import RegistryRecords, ServiceRegistryClient
from configkit.ports.stores import ConfigStore, FlagStore


@dataclass(frozen=True, slots=True)
class Examination:
    """
    What a closer look at a system that works has found.

    Attributes:
        version: The system's release; None: it does not say.
        detail: What there is of configkit, in a few words.
        clock: What time it is there.
        notes: What works less well than it could, each with the remedy.
    """

    version: str | None = None
    detail: str = ""
    clock: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backends:
    """
    What one client runs on, as wired for its mode.

    Attributes:
        records, tokens, idempotency, journal, changes: Only where the deployment's database is in reach (None in remote mode).
        cache: The process's memory; a fresh one is made where None.
        shared: A cache that all processes share, for what is not secret.
        blobs: The same for flag sets and lists of instances.
        poll: Seconds between two looks at the stores (jittered) where announcements can be lost; None: they cannot.
        after_fork: Drop what the parent's threads and sockets were, without closing them, and forget the subscribers:
            the client subscribes again.
        ping: Named checks that return or raise, for health.
        optional: Those of *ping* without which the deployment is degraded, not down.
        readback: How many known keys per second are read again, to find what others wrote straight into the store;
            None: nobody else writes there.
    """

    mode: str
    config: ConfigStore
    flags: FlagStore
    registry: ServiceRegistryClient
    bus: EventBus
    close: Callable[[], None]
    after_fork: Callable[[], None]
    ping: Mapping[str, Callable[[], None]]
    records: RegistryRecords | None = None
    tokens: TokenStore | None = None
    idempotency: IdempotencyStore | None = None
    journal: Journal | None = None
    changes: ChangeJournal | None = None
    cache: Cache | None = None
    shared: Cache | None = None
    blobs: BlobCache | None = None
    poll: float | None = None
    optional: frozenset[str] = frozenset()
    readback: float | None = None
