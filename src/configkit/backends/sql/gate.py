"""Counting what is under way, so that a fork can wait until nothing is."""

from __future__ import annotations

import threading
import time


class Gate:
    """
    Lets operations through, and can be shut until the last one has left.

    A fork with an SQLite connection open is a data loss in waiting: the child inherits SQLite's idea of which locks the
    process holds, not the locks. So a fork shuts the gate and closes the connections first.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._shut = False

    def enter(self, timeout: float) -> bool:
        """Return whether the gate let the caller in within *timeout* seconds; it must `leave` then."""
        with self._changed:
            if self._shut and not self._changed.wait_for(lambda: not self._shut, timeout):
                return False
            self._inside += 1
            return True

    def leave(self) -> None:
        """Go out again."""
        with self._changed:
            self._inside -= 1
            if self._shut:
                self._changed.notify_all()

    def shut(self, timeout: float) -> bool:
        """Let nobody in any more; return whether all had left within *timeout* seconds."""
        end = time.monotonic() + timeout
        with self._changed:
            self._shut = True
            return self._changed.wait_for(lambda: self._inside == 0, max(0.0, end - time.monotonic()))

    def open(self) -> None:
        """Let everybody in again."""
        with self._changed:
            self._shut = False
            self._changed.notify_all()
