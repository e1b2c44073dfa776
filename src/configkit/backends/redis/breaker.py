"""When a server that does not answer is asked again: decisions only, no lock and no clock."""

from __future__ import annotations

from collections.abc import Callable

from configkit import chance

FAILURES = 3
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 2.0


class Breaker:
    """
    Lets calls through until several in a row have failed, and then one now and then, as a probe.

    A pause is jittered between half its length and the whole, so that the processes of a deployment do not come back
    at once. A probe that never reports counts as failed when the next pause is over.

    Args:
        jitter: Returns a number between its two arguments.
    """

    def __init__(self, *, jitter: Callable[[float, float], float] = chance.uniform) -> None:
        self._jitter = jitter
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._closed_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether calls are refused but for a probe."""
        return self._closed_at is not None

    def admits(self, now: float) -> bool:
        """Return whether a call may be made at *now*, in monotonic seconds; while open, one at a time as a probe."""
        if self._closed_at is None:
            return True
        if now < self._closed_at:
            return False
        self._wait(now)
        return True

    def succeeded(self) -> None:
        """Take note of an answer."""
        self._failures, self._pause, self._closed_at = 0, FIRST_PAUSE, None

    def failed(self, now: float) -> None:
        """Take note of a call that was not answered."""
        self._failures += 1
        if self._failures == FAILURES:
            self._wait(now)
        elif self._failures > FAILURES:
            self._pause = LONGEST_PAUSE
            self._wait(now)

    def _wait(self, now: float) -> None:
        self._closed_at = now + self._jitter(self._pause / 2, self._pause)
