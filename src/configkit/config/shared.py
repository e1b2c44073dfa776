"""
The cache that all processes share, between a process's memory and the store: what goes in, and when it is believed.

It holds values that are not secret, each with its order, so that an older one never takes the place of a newer one. A
tombstone in it is a barrier: it keeps older values out, and answers nothing (who finds one asks the store). It is never
needed: where it fails, the store is asked, and what it could not be told it is told later.

The one exception is a value that becomes secret: what the cache holds of it has to go *before* the store is written, and
where that cannot be made sure, nothing is written. For as long as a path is sealed (a barrier above every version)
nothing of it can come in; afterwards the secret's own mark keeps it out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from configkit.config.absence import absence, tombstone
from configkit.errors import ConfigKitError
from configkit.models import ConfigPath, ConfigVersion, utcnow
from configkit.ports import Cache

Order = tuple[int, bool]

SEAL: Order = (2**50, True)
"""Above every version that can be."""
FILL_SECONDS = 10.0
"""How old an answer of the store may be to be shared: far younger than the barriers that would keep it out live."""
OWED_SECONDS = 300.0
"""After this time, what a barrier could not be put over has gone by itself."""
MOST_PATHS = 50_000


class Shared:
    """
    The rules of one process for the shared cache.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, cache: Cache, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache = cache
        self._clock = clock
        self._least: dict[ConfigPath, tuple[Order, float]] = {}
        self._owed: dict[ConfigPath, tuple[Order, float]] = {}
        self._lock = threading.Lock()

    # -- reading -------------------------------------------------------------------------------------------------------

    def find(self, path: ConfigPath, minimum: Order = (0, False)) -> ConfigVersion | None:
        """
        Return the value that is shared; None: ask the store. Never raises.

        Nothing older than *minimum*, or than what this process has heard of, or read in the store, is an answer.
        """
        try:
            there = self._cache.get(path)
        except ConfigKitError:
            return None
        least, _ = self._least.get(path, (minimum, 0.0))
        return None if there is None or there.deleted or there.order < max(minimum, least) else there

    def heard(self, path: ConfigPath, version: int | None, *, deleted: bool) -> None:
        """Believe nothing older than *version* from now on; None: nothing at all before the store was read again."""
        order = SEAL if version is None else (version, deleted)
        with self._lock:
            known, _ = self._least.pop(path, (order, 0.0))
            self._note(path, max(order, known))

    def fill(self, document: ConfigVersion, *, begun: float) -> None:
        """
        Share what the store has answered. Never raises.

        Args:
            begun: When the store was asked, by the clock: what was heard since counts for more than the answer.
        """
        order = SEAL if _is_secret(document) else document.order
        with self._lock:
            known, at = self._least.pop(document.path, (order, 0.0))
            self._note(document.path, max(order, known) if at >= begun else order)
        if order == SEAL:
            self._attempt(document.path, SEAL)
        elif document.version > 0 and self._clock() - begun < FILL_SECONDS:
            self._put(document)

    def went_back(self, path: ConfigPath) -> None:
        """Forget what is shared of *path*: the store holds an older version than it did (a restored backup). Never raises."""
        self._put(absence(path), replace=True)

    # -- writing -------------------------------------------------------------------------------------------------------

    def seal(self, path: ConfigPath) -> None:
        """Let nothing of *path* be there, nor come in while the seal lives. Raises what the cache raises."""
        self._cache.put(_barrier(path, SEAL))
        self._owed.pop(path, None)

    def wrote(self, document: ConfigVersion) -> None:
        """Share what was written, or see to it that nothing older stays. Never raises."""
        order = SEAL if _is_secret(document) else document.order
        with self._lock:
            known, _ = self._least.pop(document.path, (order, 0.0))
            self._note(document.path, max(order, known))
        if order == SEAL:
            self.distrust(document.path)
        elif not self._put(document):
            self._owe(document.path, order)

    def distrust(self, path: ConfigPath) -> None:
        """Let nothing of *path* be believed for a while, since what the store holds is not known. Never raises."""
        if not self._attempt(path, SEAL):
            self._owe(path, SEAL)

    def settle(self) -> None:
        """Put the barriers that could not be put when they were due, as far as that works. To be called now and then."""
        for path, (order, since) in list(self._owed.items()):
            if self._clock() - since < OWED_SECONDS and not self._attempt(path, order):
                return
            with self._lock:
                if self._owed.get(path) == (order, since):
                    del self._owed[path]

    def after_fork(self) -> None:
        """Begin anew in a forked child: what the parent owes, the parent settles."""
        self._lock = threading.Lock()
        self._owed = {}

    def _note(self, path: ConfigPath, order: Order) -> None:
        if len(self._least) >= MOST_PATHS:
            del self._least[next(iter(self._least))]
        self._least[path] = (order, self._clock())

    def _owe(self, path: ConfigPath, order: Order) -> None:
        with self._lock:
            if len(self._owed) >= MOST_PATHS:
                del self._owed[next(iter(self._owed))]
            self._owed[path] = (order, self._clock())

    def _attempt(self, path: ConfigPath, order: Order) -> bool:
        return self._put(_barrier(path, order))

    def _put(self, document: ConfigVersion, *, replace: bool = False) -> bool:
        try:
            self._cache.put(document, replace=replace)
        except ConfigKitError:
            return False
        return True


def _is_secret(document: ConfigVersion) -> bool:
    return document.is_encrypted or document.ever_secret or document.masked


def _barrier(path: ConfigPath, order: Order) -> ConfigVersion:
    """Return what keeps out everything older than *order*, and lets in a value that is."""
    version, deleted = order
    return tombstone(path, version if deleted else version - 1, utcnow())
