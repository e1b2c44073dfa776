"""What is registered leaves with its process: at a clean exit, and by SIGTERM where nobody else handles it."""

from __future__ import annotations

import _thread
import atexit
import os
import threading
import time
from collections.abc import Iterable
from typing import Protocol

LEAVE_SECONDS = 1.0
"""So long a leaving process waits for its deregistrations at most."""


class Leaver(Protocol):
    """Something that is registered."""

    def begin_leaving(self) -> None:
        """Ask for deregistration; does not wait."""

    def wait_left(self, timeout: float) -> bool:
        """Wait until that is done."""


# Added to, removed from and copied in single steps of the interpreter: a signal handler must not need a lock.
_present: set[Leaver] = set()


def leave_all(leavers: Iterable[Leaver], *, within: float = LEAVE_SECONDS) -> None:
    """Deregister all of *leavers* at once, within so many seconds altogether."""
    end = time.monotonic() + within
    leaving = list(leavers)
    for leaver in leaving:
        leaver.begin_leaving()
    for leaver in leaving:
        leaver.wait_left(max(0.0, end - time.monotonic()))


def enter(leaver: Leaver) -> None:
    """Have *leaver* deregistered when this process exits."""
    _handle_sigterm()
    _present.add(leaver)


def left(leaver: Leaver) -> None:
    """Forget *leaver*: it has left."""
    _present.discard(leaver)


def _handle_sigterm() -> None:
    """
    Make SIGTERM deregister before it ends the process, as it would have without us.

    Only where its action is the default one: a program's own handler, set before or after, stays in charge, and its
    orderly end deregisters too. Only the main thread may set handlers; from any other this does nothing.
    """
    import signal  # noqa: PLC0415  only where something is registered

    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def restore_sigterm() -> None:
    """Give SIGTERM its default action back where it has ours, and nothing is registered any more."""
    import signal  # noqa: PLC0415

    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _on_sigterm
    if mine and not _present:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _on_sigterm(signum: int, _frame: object) -> None:
    import signal  # noqa: PLC0415

    # The main thread may hold any lock right now, so the work is another thread's and waiting for it is bounded.
    # threading.Thread takes locks too.
    done = _thread.allocate_lock()
    done.acquire()

    def leave() -> None:
        try:
            leave_all(_present)
        finally:
            done.release()

    _thread.start_new_thread(leave, ())
    done.acquire(timeout=LEAVE_SECONDS)
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    # Still here: the kernel ignores default actions for process 1 of a container.
    raise SystemExit(128 + signum)


atexit.register(lambda: leave_all(_present))
