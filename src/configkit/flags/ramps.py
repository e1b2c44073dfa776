"""Percentages that grow with time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from configkit.flags.bucketing import buckets_of


class Ramp:
    """
    How a percentage grows with time: by steps, or evenly from each point to the next.

    Args:
        schedule: That of a flag, with a ramp.
        percentage: What it is before the first point.
    """

    def __init__(self, schedule: Mapping[str, Any], percentage: float) -> None:
        points = schedule["ramp"]
        self._times = [seconds_of(point["at"]) for point in points]
        self._shares = [percentage, *(point["percentage"] for point in points)]
        self._linear = schedule["ramp_kind"] == "linear"

    def buckets(self, now: float) -> int:
        """Return how many buckets are in at *now*."""
        passed = bisect_right(self._times, now)
        share = self._shares[passed]
        if self._linear and 0 < passed < len(self._times):
            begin, end = self._times[passed - 1], self._times[passed]
            share += (self._shares[passed + 1] - share) * (now - begin) / (end - begin)
        return buckets_of(share)


def seconds_of(text: str) -> float:
    """Return the seconds since 1970 that RFC 3339 *text* names."""
    return datetime.fromisoformat(text).timestamp()
