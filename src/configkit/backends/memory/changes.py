"""The journal beside another store, in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from configkit.backends.memory.journal import MemoryJournal
from configkit.models import ConfigChanged, ConfigPath, Event, Origin, utcnow
from configkit.ports import Intent

CLAIM_SECONDS = 10.0
MAX_RESOLVED = 10_000


@dataclass(slots=True)
class _Begun:
    intent: Intent
    at: float
    claimed: float = -math.inf


class MemoryChangeJournal:
    """
    A `ChangeJournal` on the journal that the other stores write through.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, journal: MemoryJournal, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._begun: dict[str, _Begun] = {}
        self._committed: dict[str, None] = {}
        self._claims: dict[str, float] = {}

    def intend(self, action: str, path: ConfigPath, *, origin: Origin) -> Intent:
        """Write down that *path* is about to be changed."""
        intent = Intent(uuid4().hex, action, path, origin, utcnow())
        with self._journal.lock:
            self._begun[intent.id] = _Begun(intent, self._clock())
        return intent

    def commit(self, intent: Intent, version: int | None, *, deleted: bool = False) -> None:
        """Write down that it was changed, to *version*; a second time, by whomever, is ignored."""
        with self._journal.change() as change:
            self._begun.pop(intent.id, None)
            if intent.id in self._committed:
                return
            self._committed[intent.id] = None
            if len(self._committed) > MAX_RESOLVED:
                del self._committed[next(iter(self._committed))]
            change.record("config", intent.action, str(intent.path), version, intent.origin)
            author = intent.origin.changed_by
            change.events.append(ConfigChanged(change.next_id(), intent.path, version, deleted, change.at, author))

    def abandon(self, intent: Intent) -> None:
        """Write down that nothing was changed."""
        with self._journal.lock:
            self._begun.pop(intent.id, None)

    def unresolved(self, *, older_than: float, limit: int = 100) -> list[Intent]:
        """Claim intents of at least *older_than* seconds that nobody has resolved, each for one caller only."""
        with self._journal.lock:
            now = self._clock()
            free = [
                begun for begun in self._begun.values() if now - begun.at >= older_than and now - begun.claimed >= CLAIM_SECONDS
            ]
            for begun in free[:limit]:
                begun.claimed = now
            return [begun.intent for begun in free[:limit]]

    def unpublished(self, *, limit: int = 500) -> list[Event]:
        """Claim changes that are not published yet, oldest first, each for one caller only."""
        with self._journal.lock:
            now = self._clock()
            untold = self._journal.untold
            self._claims = {event_id: at for event_id, at in self._claims.items() if event_id in untold}
            free = [event_id for event_id in untold if now - self._claims.get(event_id, -math.inf) >= CLAIM_SECONDS][:limit]
            self._claims.update(dict.fromkeys(free, now))
            return [untold[event_id] for event_id in free]

    def published(self, event_ids: Sequence[str]) -> None:
        """Write down that these were announced."""
        with self._journal.lock:
            for event_id in event_ids:
                self._journal.untold.pop(event_id, None)
