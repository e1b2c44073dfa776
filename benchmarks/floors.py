"""
Each case through the public calls, beside the shortest client that one could write by hand: `python -m benchmarks.floors`.

The floor has the same signature, hashes the same bytes, keeps a default, guards against exceptions and counts.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any

from mmh3 import mmh3_32_uintdigest

from benchmarks import timing
from benchmarks.peers import ours
from benchmarks.peers.workload import (
    CASES,
    NAMES,
    PLAIN,
    ROLLOUT,
    RULE,
    RULE_COUNTRIES,
    TARGETED,
    TARGETS,
    VARIANT,
    VARIANTS,
    pairs,
)
from configkit.flags import bucketing
from configkit.flags.model import Evaluation

OF_THE_FLOOR, OF_THE_OBJECT = 0.70, 0.60
EVALUATE = "evaluate, in full"
_HALF, _THIRD = bucketing.hash_threshold(1, 2), bucketing.hash_threshold(30_000)
_HEADERS = tuple(bucketing.text_header(length) for length in range(256))

Decide = Callable[[Any, Any], Any]


def closures() -> dict[str, Decide]:
    """Return each case as a function, written by hand."""
    prefixes = {case: bucketing.salt_prefix(NAMES[case]) for case in CASES}
    countries, users = frozenset(RULE_COUNTRIES), frozenset(TARGETED)
    bounds = tuple(bucketing.hash_threshold(number, 4) for number in (1, 2, 3))

    def plain(user: str, context: Mapping[str, Any]) -> bool:  # noqa: ARG001
        return True

    def rollout(user: str, context: Mapping[str, Any], prefix: bytes = prefixes[ROLLOUT]) -> bool:  # noqa: ARG001
        key = user.encode()
        return mmh3_32_uintdigest(prefix + _HEADERS[len(key)] + key, 0) < _THIRD

    def rule(user: str, context: Mapping[str, Any], prefix: bytes = prefixes[RULE]) -> bool:
        if context["country"] not in countries:
            return False
        key = user.encode()
        return mmh3_32_uintdigest(prefix + _HEADERS[len(key)] + key, 0) < _HALF

    def targets(user: str, context: Mapping[str, Any]) -> bool:  # noqa: ARG001
        return user in users

    def variant(user: str, context: Mapping[str, Any], prefix: bytes = prefixes[VARIANT]) -> str:  # noqa: ARG001
        key = user.encode()
        return VARIANTS[bisect_right(bounds, mmh3_32_uintdigest(prefix + _HEADERS[len(key)] + key, 0))]

    return {PLAIN: plain, ROLLOUT: rollout, RULE: rule, TARGETS: targets, VARIANT: variant}


class Floor:
    """A client with nothing that can be left out."""

    def __init__(self) -> None:
        self._table = {NAMES[case]: decide for case, decide in closures().items()}
        self.served = 0

    def ask(self, name: str, default: Any = False, *, user_id: str | None = None, context: Mapping[str, Any] | None = None) -> Any:
        """Return the decision."""
        try:
            decide = self._table.get(name)
            if decide is None:
                return default
            self.served += 1
            return decide(user_id, context)
        except Exception:  # noqa: BLE001
            return default

    def evaluate(
        self, name: str, default: Any = None, *, user_id: str | None = None, context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the decision in an object made for it."""
        try:
            value = self._table[name](user_id, context)
            self.served += 1
            return Evaluation(name, "production", value, "on" if value else "off", "SPLIT", 1)
        except Exception:  # noqa: BLE001
            return default


def _all(call: Callable[..., object], name: str, default: Any) -> Callable[[], None]:
    def run() -> None:
        for user, context in pairs:
            call(name, default, user_id=user, context=context)

    return run


def main() -> int:
    flags, floor, met = ours.flags(), Floor(), True
    for case in CASES:
        call, name, default = ours.question(flags, case)
        for user, context in pairs[:1000]:
            wanted, found = (ask(name, default, user_id=user, context=context) for ask in (floor.ask, call))
            assert wanted == found, (case, user, wanted, found)
        figures = timing.ratios({"floor": _all(floor.ask, name, default), case: _all(call, name, default)})
        bounds = {case: OF_THE_FLOOR}
        print(timing.table(case, figures, operations=len(pairs), bounds=bounds), flush=True)
        met = met and timing.met(figures, bounds)
    figures = timing.ratios({"floor": _all(floor.evaluate, "rollout", None), EVALUATE: _all(flags.evaluate, "rollout", None)})
    bounds = {EVALUATE: OF_THE_OBJECT}
    print(timing.table(EVALUATE, figures, operations=len(pairs), bounds=bounds))
    return 0 if met and timing.met(figures, bounds) else 1


if __name__ == "__main__":
    sys.exit(main())
