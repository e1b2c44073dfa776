"""Telling the application of changed values: in order, one at a time, and never on a thread that others wait for."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from configkit import values
from configkit.calls import Calls
from configkit.errors import ConfigKitError
from configkit.values import JsonValue

logger = logging.getLogger("configkit.config")


@dataclass(frozen=True, slots=True)
class ValueChanged:
    """
    What a subscriber is told: the value that a key has now, layered.

    Attributes:
        version: The version of the document the value comes from; 0 where *removed*.
    """

    key: str
    value: JsonValue = field(repr=False)
    version: int
    removed: bool = False


class Subscription:
    """A callback that is being told of changes; `close`, or leaving its ``with`` block, ends it."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def close(self) -> None:
        """End it. Closing again does nothing."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Watchers:
    """The callbacks of one client and the changes they have yet to be told."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._watchers: list[tuple[str | None, Callable[[ValueChanged], None]]] = []
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._pending: deque[ValueChanged] = deque()
        self._telling = False

    def add(self, key: str | None, callback: Callable[[ValueChanged], None]) -> Subscription:
        """Tell *callback* of changes of *key*, or of every one (None)."""
        watcher = (key, callback)
        self._watchers.append(watcher)
        return Subscription(lambda: self._watchers.remove(watcher) if watcher in self._watchers else None)

    def tell(self, change: ValueChanged) -> None:
        """Tell of *change* soon, after those before it."""
        if not self._watchers:
            return
        with self._lock:
            self._pending.append(change)
            if self._telling:
                return
            self._telling = True
        try:
            self._calls.submit(self._work_off)
        except ConfigKitError:
            self._telling = False

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._reset()

    def _work_off(self) -> None:
        while True:
            with self._lock:
                if not self._pending:
                    self._telling = False
                    return
                change = self._pending.popleft()
            for key, callback in list(self._watchers):
                if key in (None, change.key):
                    _call(callback, change)


def _call(callback: Callable[[ValueChanged], None], change: ValueChanged) -> None:
    own = ValueChanged(change.key, values.copy(change.value), change.version, change.removed)
    try:
        callback(own)
    except Exception:
        logger.exception("a callback failed on a change of %s", change.key)
