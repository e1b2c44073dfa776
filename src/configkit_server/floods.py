"""Token buckets: so many at once, and so many a second after that, for each caller."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from configkit_server.problems import TOO_MANY_REQUESTS, ProblemError


class Buckets:
    """
    One bucket for each caller.

    Args:
        rate: Requests a second.
        burst: Requests at once.
        callers: How many callers are remembered; the least recent is forgotten.
    """

    def __init__(self, *, rate: float, burst: int, callers: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._callers = callers
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Take one from the bucket of *caller*. Raises `ProblemError` 429 if it is empty."""
        now = self._clock()
        level, since = self._levels.pop(caller, (float(self._burst), now))
        level = min(float(self._burst), level + (now - since) * self._rate)
        self._levels[caller] = (max(0.0, level - 1.0) if level >= 1.0 else level, now)
        if len(self._levels) > self._callers:
            self._levels.popitem(last=False)
        if level < 1.0:
            seconds = math.ceil((1.0 - level) / self._rate)
            raise ProblemError(
                TOO_MANY_REQUESTS,
                f"at most {self._burst} at once and {self._rate:g} a second; wait and try again",
                headers=[(b"retry-after", str(seconds).encode())],
            )
