"""
Flag sets from the cache that all processes share, checked against the store's counter.

A set is large and its counter is one number, so the number is always asked of the store and the set of the cache: what
is answered is never older than the store, whatever lies in the cache, and an event that was lost makes no difference.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress

from configkit.errors import ConfigKitError
from configkit.flags.documents import document_of, flags_of
from configkit.flags.model import CHANGEABLE, Flag
from configkit.flags.snapshot import FlagSet
from configkit.models import Page
from configkit.ports import BlobCache, FlagStore

KEPT_SECONDS = 600.0
MAX_BYTES = 4 * 1024 * 1024
"""A larger set would take the shared cache longer than its deadline."""


class SharedFlagStore:
    """
    A `FlagStore` whose truth is *store*, and whose sets are shared in *blobs*.

    Where the cache fails, the store is asked for everything.
    """

    def __init__(self, store: FlagStore, blobs: BlobCache) -> None:
        self._store = store
        self._blobs = blobs
        self.read = store.read
        self.changes = store.changes
        self.create = store.create
        self.update = store.update
        self.delete = store.delete

    def load(self, environment: str, known_version: int | None = None) -> FlagSet | None:
        """Return the whole set at one moment, or None if its version is *known_version* still."""
        shared = self._shared(environment)
        basis = known_version
        if shared is not None and (known_version is None or shared.version > known_version):
            basis = shared.version
        loaded = self._store.load(environment, basis)
        if loaded is None:
            return None if basis == known_version else shared
        if shared is not None and loaded.version < shared.version:
            # The store was set back, and what is shared would keep out what is true.
            self._forget(environment)
        self._share(loaded)
        return None if loaded.version == known_version else loaded

    def list(
        self, *, environments: frozenset[str] | None = None, enabled: bool | None = None, limit: int, offset: int = 0
    ) -> Page[Flag]:
        """Return flags by (environment, name), as the store has them."""
        return self._store.list(environments=environments, enabled=enabled, limit=limit, offset=offset)

    def _shared(self, environment: str) -> FlagSet | None:
        try:
            there = self._blobs.load(_name(environment))
        except ConfigKitError:
            return None
        return None if there is None else decoded(environment, *there)

    def _share(self, loaded: FlagSet) -> None:
        if len(loaded.flags) < len(loaded.flags.names):
            return  # another release can read them all
        content = encoded(loaded)
        if len(content) > MAX_BYTES:
            return
        with suppress(ConfigKitError):
            self._blobs.keep(_name(loaded.environment), loaded.version, content, seconds=KEPT_SECONDS)

    def _forget(self, environment: str) -> None:
        with suppress(ConfigKitError):
            self._blobs.drop(_name(environment))


_FORMAT = zlib.crc32(" ".join(CHANGEABLE).encode())
"""Releases that know other fields share other sets: what one passes over, the other must not miss."""


def _name(environment: str) -> str:
    return f"flags/{_FORMAT:08x}/{environment}"


def encoded(loaded: FlagSet) -> bytes:
    """Return the flags of a set as JSON."""
    flags = [document_of(flag) for flag in loaded.flags.values()]
    return json.dumps(flags, ensure_ascii=False, separators=(",", ":")).encode()


def decoded(environment: str, version: int, content: bytes) -> FlagSet | None:
    """Return the set that *content* is; None: it is something else, or not from this release."""
    try:
        found = json.loads(content)
        if not isinstance(found, list):
            return None
        flags = flags_of(found)
        readable = all(flag.environment == environment and flag.version <= version for flag in flags.values())
    except (ConfigKitError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return FlagSet(environment, version, flags) if readable and len(flags) == len(flags.names) else None
