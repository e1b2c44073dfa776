"""What lies near the reader; never the truth."""

from __future__ import annotations

from typing import Protocol

from configkit.models import ConfigPath, ConfigVersion


class Cache(Protocol):
    """
    Configuration documents near the reader; never the truth.

    Entries are ordered by `ConfigVersion.order`: an older one never replaces a newer one, so that a slow fill cannot
    undo an invalidation. Real absence is a document too: deleted, with version 0.
    """

    def get(self, path: ConfigPath) -> ConfigVersion | None:
        """Return what is known, tombstones included; None: nothing is known."""

    def put(self, document: ConfigVersion, *, replace: bool = False) -> bool:
        """Keep *document* if it is newer than what is there (or in any case, with *replace*); return whether it was kept."""

    def paths(self) -> list[ConfigPath]:
        """Return the path of every entry, tombstones included."""

    def clear(self) -> None:
        """Forget everything."""


class BlobCache(Protocol):
    """Versioned bytes near the reader, shared between processes; never the truth, and never a secret."""

    def load(self, name: str) -> tuple[int, bytes] | None:
        """Return the version and the bytes kept as *name*; None: nothing is. Raises `UnavailableError`."""

    def keep(self, name: str, version: int, content: bytes, *, seconds: float) -> bool:
        """Keep *content* if *version* is newer than what is kept; return whether it was. Raises `UnavailableError`."""

    def drop(self, name: str) -> None:
        """Forget *name*. Raises `UnavailableError`."""
