"""How long to leave alone what keeps us waiting: pure, times and chance included."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from configkit import chance
from configkit.models import HealthCheck
from configkit.registry.turns import Key

LONGEST_REST = 30.0
"""Seconds after which even an instance that never answers is checked again (or its interval, if that is longer)."""
_MOST_FAILURES = 5
_LATE_SHARE = 0.5


class _Record(NamedTuple):
    at: float
    late: bool
    failures: int
    rests_until: float


class Patience:
    """
    What earlier checks say about when and how to check an instance again.

    One that fails by keeping us waiting is checked half as often each time, down to once in `LONGEST_REST`; answers
    in time win the trust back, in as many steps as doubling took.

    Args:
        interval: Seconds between two checks.
        timeout: Seconds that a check may take; half of it is late.
    """

    def __init__(self, *, interval: float, timeout: float, chance: Callable[[], float] = chance.random) -> None:
        self._interval = interval
        self._late_ms = timeout * 1000 * _LATE_SHARE
        self._chance = chance
        self._records: dict[Key, _Record] = {}

    def note(self, key: Key, check: HealthCheck, now: float) -> None:
        """Take in what a check found."""
        before = self._records.get(key)
        failures = before.failures if before else 0
        late = check.response_time_ms >= self._late_ms
        if late and not check.healthy:
            failures = min(failures + 1, _MOST_FAILURES)
            self._records[key] = _Record(now, late, failures, now + self._rest(failures))
        else:
            self._records[key] = _Record(now, late, failures if late else max(0, failures - 1), now)

    def is_late(self, key: Key) -> bool:
        """Return whether the next check may take long: the instance is not known to answer in time."""
        record = self._records.get(key)
        return record is None or record.late or record.failures > 0

    def rests(self, key: Key, now: float) -> bool:
        """Return whether the instance is left alone at *now*."""
        record = self._records.get(key)
        return record is not None and now < record.rests_until

    def forget(self, now: float) -> None:
        """Forget what was not checked for long."""
        oldest = now - 10 * max(self._interval, LONGEST_REST)
        self._records = {key: record for key, record in self._records.items() if record.at >= oldest}

    def _rest(self, failures: int) -> float:
        longest = max(self._interval, LONGEST_REST)
        rest: float = min(self._interval * 2**failures, longest)
        return rest * (0.75 + 0.25 * self._chance())
