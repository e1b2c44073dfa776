"""The cache in the process: documents that only ever get newer."""

from __future__ import annotations

import threading

from configkit.models import ConfigPath, ConfigVersion


class MemoryCache:
    """
    A bounded `Cache`. Reading takes no lock.

    Args:
        max_entries: Beyond these the documents that came first are forgotten.
    """

    def __init__(self, max_entries: int = 100_000) -> None:
        if max_entries < 1:
            raise ValueError("a cache keeps at least one entry")
        self._max_entries = max_entries
        self._entries: dict[ConfigPath, ConfigVersion] = {}
        self._lock = threading.Lock()

    def get(self, path: ConfigPath) -> ConfigVersion | None:
        """Return what is known of *path*, tombstones and absence included; None: nothing is."""
        return self._entries.get(path)

    def put(self, document: ConfigVersion, *, replace: bool = False) -> bool:
        """Keep *document* if it is newer than what is there, or in any case with *replace*; return whether it was kept."""
        with self._lock:
            known = self._entries.get(document.path)
            if known is not None and not replace and document.order <= known.order:
                return False
            if known is None and len(self._entries) >= self._max_entries:
                del self._entries[next(iter(self._entries))]
            self._entries[document.path] = document
            return True

    def paths(self) -> list[ConfigPath]:
        """Return the path of every entry, tombstones included."""
        return list(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def after_fork(self) -> None:
        """Free the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()
