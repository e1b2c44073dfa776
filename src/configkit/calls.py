"""Calls under a deadline, on a bounded pool of daemon threads: a backend that hangs costs one worker, never the caller."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from configkit.errors import ClosedError, UnavailableError

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("configkit")

Job = tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_thread = threading.local()


class SaturatedError(UnavailableError):
    """Too many calls of this process wait already: a new one was refused, and no backend was asked."""

    def __init__(self) -> None:
        super().__init__("too many calls are waiting", backend="configkit", operation="call", nothing_changed=True)


class Calls:
    """
    Runs blocking calls on threads of its own and answers by the deadline whatever they do.

    Args:
        workers: Threads at most; 0 runs each call in its caller's thread, without a deadline (for tests without threads).
        deadline: Seconds until `run` gives up, unless told otherwise.
        waiting: Calls at most that wait for a worker; one more is refused at once.
    """

    def __init__(self, *, workers: int = 16, deadline: float = 5.0, waiting: int = 256) -> None:
        self.deadline = deadline
        self._workers = workers
        self._waiting = waiting
        self._closed = False
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: set[threading.Thread] = set()
        self._busy = 0

    def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Return what *call* returns, or raise what it raises.

        On a worker, of whichever pool, the call runs right there: whoever waits for that worker has the deadline, and
        what became of the call is known in the end.

        Raises:
            UnavailableError: No answer within the deadline, or too many calls are waiting. A call that had begun may
                still have its effect.
        """
        if getattr(_thread, "is_worker", False):
            return call(*args, **kwargs)
        return self.run_within(self.deadline, call, *args, **kwargs)

    def run_within(self, deadline: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do as `run` does, with a deadline of its own in seconds."""
        if self._workers == 0 or threading.current_thread() in self._threads:
            return call(*args, **kwargs)
        return self.wait(self.submit(call, *args, **kwargs), deadline)

    def wait(self, future: Future[T], deadline: float | None = None) -> T:
        """Return the result of a submitted call; after *deadline* seconds abandon it with `UnavailableError`."""
        seconds = self.deadline if deadline is None else deadline
        try:
            return future.result(timeout=seconds)
        except TimeoutError:
            if future.done():
                raise
            future.cancel()
            raise UnavailableError(f"no answer within {seconds:g} s", backend="configkit", operation="call") from None

    def wait_shared(self, future: Future[T]) -> T:
        """Return the result of a call that others wait for too: giving up does not cancel it."""
        try:
            return future.result(timeout=None if self._workers == 0 else self.deadline)
        except TimeoutError:
            if future.done():
                raise
            raise UnavailableError(f"no answer within {self.deadline:g} s", backend="configkit", operation="call") from None

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin *call* on a worker and return its future. Raises `SaturatedError` if too many are waiting."""
        future: Future[T] = Future()
        if self._workers == 0:
            _carry_out((future, call, args, kwargs))
            return future
        with self._lock:
            if self._closed:
                raise ClosedError
            if self._busy >= self._workers + self._waiting:
                raise SaturatedError
            self._busy += 1
            if self._busy > len(self._threads) and len(self._threads) < self._workers:
                self._add_thread()
        self._jobs.put((future, call, args, kwargs))
        return future

    def close(self, *, within: float = 1.0) -> None:
        """Let the workers finish what they have begun, for *within* seconds at most; nothing new is accepted."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(within / len(threads))

    def after_fork(self) -> None:
        """Begin anew in a forked child, which has none of the threads."""
        self._reset()

    def _add_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"configkit-call-{len(self._threads)}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        _thread.is_worker = True
        jobs = self._jobs
        while (job := jobs.get()) is not None:
            _carry_out(job)
            del job
            with self._lock:
                self._busy -= 1


def _carry_out(job: Job) -> None:
    future, call, args, kwargs = job
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  the waiting caller gets it
        future.set_exception(error)
    else:
        future.set_result(result)
