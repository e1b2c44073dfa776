"""The one lock of a deployment in memory, its journal, and the telling of its changes."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Literal

from configkit.models import ConfigPath, Event, Origin, Resync, utcnow
from configkit.ports import JournalEntry

MAX_ENTRIES = 100_000
MAX_UNTOLD = 10_000

Kind = Literal["config", "flag", "registry", "token"]


class MemoryJournal:
    """
    A `Journal` that every store of the deployment writes through.

    Args:
        publish: Tells of a change once it was made and the lock is free again.

    Attributes:
        untold: What was not announced elsewhere yet, by the events' ids; the caller holds the lock.
    """

    def __init__(self, publish: Callable[[Event], None]) -> None:
        self._publish = publish
        self._entries: deque[JournalEntry] = deque(maxlen=MAX_ENTRIES)
        self._log_id = os.urandom(8).hex()
        self._sequence = 0
        self.lock = threading.Lock()
        self.untold: dict[str, Event] = {}

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Hold the lock for one change; publish its events after it. A body that raises must have changed nothing."""
        with self.lock:
            change = Change(self)
            yield change
            self._keep(change.events)
        for event in change.events:
            self._publish(event)

    def _keep(self, events: Sequence[Event]) -> None:
        """Keep what is to be announced elsewhere, and of that only the last where nobody announces anything."""
        self.untold.update((event.id, event) for event in events if not isinstance(event, Resync))
        while len(self.untold) > MAX_UNTOLD:
            del self.untold[next(iter(self.untold))]

    def add(self, entry: JournalEntry) -> None:
        """Append *entry*; the caller holds the lock."""
        self._entries.append(entry)

    def next_id(self) -> str:
        """Return the id of the next event; the caller holds the lock."""
        self._sequence += 1
        return f"{self._log_id}-{self._sequence}"

    def record_read(self, paths: Sequence[ConfigPath], *, origin: Origin) -> None:
        """Record that the secrets at *paths* were read in the clear."""
        with self.change() as change:
            for path in paths:
                change.record("config", "read", str(path), None, origin)

    def record_registration(
        self, action: Literal["register", "deregister"], service_name: str, instance_id: str, *, origin: Origin
    ) -> None:
        """Record what an instance did at a registry that keeps no journal itself."""
        with self.change() as change:
            change.record("registry", action, f"{service_name}/{instance_id}", None, origin)

    def entries(self, *, limit: int, offset: int = 0) -> list[JournalEntry]:
        """Return the journal, newest first; the last 100 000 entries are kept."""
        with self.lock:
            return list(islice(reversed(self._entries), offset, offset + limit))

    def after_fork(self) -> None:
        """Free the lock, which a thread of the parent may have held."""
        self.lock = threading.Lock()


class Change:
    """
    One change while it is made.

    Attributes:
        at: When it happens.
        events: What to tell afterwards.
    """

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self.at = utcnow()
        self.events: list[Event] = []

    def record(self, kind: Kind, action: str, subject: str, version: int | None, origin: Origin) -> None:
        """Add a line to the journal."""
        self._journal.add(JournalEntry(kind, action, subject, version, origin, self.at))

    def next_id(self) -> str:
        """Return the id for an event of this change."""
        return self._journal.next_id()
