"""One list of a service's instances as it was read, and what may be shown of it later: pure, times included."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from math import inf

from configkit.models import ServiceInstance

SELDOM_SECONDS = 30.0
"""How often a list is read again where no lease can end silently: changes of it are announced."""
GRACE_SECONDS = 0.5
"""So long an instance is shown beyond the end of its lease: the list may be on its way that says it was renewed."""
_SHORTEST_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Listing:
    """
    Instances, with the ends of their leases on this process's monotonic clock.

    Attributes:
        read_at: When reading it began, on the monotonic clock.
        ends: Until when each instance is shown, its lease's end and a little more; infinity for one without a lease.
    """

    items: tuple[ServiceInstance, ...]
    read_at: float
    ends: tuple[float, ...]
    first_end: float

    @classmethod
    def of(cls, items: tuple[ServiceInstance, ...], *, read_at: float, now: datetime) -> Listing:
        """
        Return the listing of what was read.

        What was listed was alive then; a lease that seems over already speaks of two clocks that differ, and says
        nothing about its end.

        Args:
            now: The wall clock when *items* arrived.
        """
        ends = tuple(_end(instance, read_at, now) for instance in items)
        return cls(items, read_at, ends, min(ends, default=inf))

    def alive(self, now: float) -> tuple[ServiceInstance, ...]:
        """Return the instances that are shown at *now* (monotonic)."""
        if now < self.first_end:
            return self.items
        return tuple(instance for instance, end in zip(self.items, self.ends, strict=True) if now < end)

    def next_read(self, refresh: float) -> float:
        """
        Return when to read again (monotonic): at half of what the shortest lease had left, *refresh* seconds after
        the last time at the earliest (or when that lease ends) and 30 s after it at the latest.
        """
        left = max(self.first_end - GRACE_SECONDS - self.read_at, _SHORTEST_PAUSE)
        return self.read_at + min(max(left / 2, min(refresh, left)), max(refresh, SELDOM_SECONDS))


def _end(instance: ServiceInstance, read_at: float, now: datetime) -> float:
    left = (instance.expires_at - now).total_seconds() if instance.expires_at else inf
    return read_at + left + GRACE_SECONDS if left > 0 else inf


def substance(items: tuple[ServiceInstance, ...]) -> tuple[ServiceInstance, ...]:
    """Return *items* without what changes all the time: ends of leases and times of checks."""
    return tuple(replace(instance, expires_at=None, last_health_check=None) for instance in items)
