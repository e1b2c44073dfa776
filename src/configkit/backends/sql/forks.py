"""What open databases do when the process forks."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from typing import Any, Protocol

PATIENCE = 2.0
"""Seconds that a fork waits for what is under way."""


class Forkable(Protocol):
    """Something whose connections must not be shared with a child."""

    def before_fork(self) -> None:
        """Get ready, within `PATIENCE`."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork(self) -> None:
        """In the child: begin anew, closing nothing that is the parent's."""


def watch(database: Forkable) -> None:
    """Tell *database* of forks, until it is collected or `unwatch` is called."""
    _OPEN.add(database)


def unwatch(database: Forkable) -> None:
    """Tell *database* no more."""
    _OPEN.discard(database)


def keep(*inherited: Any) -> None:
    """Keep what a child inherited for good: even a collected connection would be closed, and it is the parent's."""
    _INHERITED.extend(inherited)


_OPEN: weakref.WeakSet[Forkable] = weakref.WeakSet()
_INHERITED: list[Any] = []
_forking = threading.Lock()


def _before_fork() -> None:
    _forking.acquire(timeout=PATIENCE)
    for database in list(_OPEN):
        with suppress(Exception):
            database.before_fork()


def _after_fork_in_parent() -> None:
    for database in list(_OPEN):
        database.after_fork_in_parent()
    with suppress(RuntimeError):
        _forking.release()


def _after_fork_in_child() -> None:
    global _forking  # noqa: PLW0603
    _forking = threading.Lock()
    for database in list(_OPEN):
        database.after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
