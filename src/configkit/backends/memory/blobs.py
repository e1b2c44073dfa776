"""Versioned bytes that only ever get newer, in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MAX_BLOBS = 1000


class MemoryBlobs:
    """
    A bounded `BlobCache`.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[int, bytes, float]] = {}
        self._lock = threading.Lock()

    def load(self, name: str) -> tuple[int, bytes] | None:
        """Return the version and the bytes kept as *name*; None: nothing is."""
        kept = self._kept.get(name)
        if kept is None or kept[2] <= self._clock():
            return None
        return kept[0], kept[1]

    def keep(self, name: str, version: int, content: bytes, *, seconds: float) -> bool:
        """Keep *content* for *seconds* if *version* is newer than what is kept; return whether it was."""
        with self._lock:
            there = self.load(name)
            if there is not None and there[0] >= version:
                return False
            self._kept.pop(name, None)
            if len(self._kept) >= MAX_BLOBS:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = (version, content, self._clock() + seconds)
            return True

    def drop(self, name: str) -> None:
        """Forget *name*."""
        with self._lock:
            self._kept.pop(name, None)

    def after_fork(self) -> None:
        """Free the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()
