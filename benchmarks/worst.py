"""The costliest rules that the limits accept, on contexts made to be costly: each is decided within a bound."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from configkit.errors import InvalidDocumentError
from configkit.flags import limits
from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagSet

BOUND = 50e-6
CALLS, ROUNDS = 100, 60
IN_SEGMENT = int(limits.MAX_SEGMENT_COST / limits.COSTS["in_cidr"])
"""So many of its conditions does a segment take."""
VALUES: dict[str, list[Any]] = {
    "equals": ["a", 1, True],
    "in": [f"v{number}" for number in range(limits.MAX_VALUES)],
    "contains": ["x" * 500 + "y"],
    "starts_with": ["x" * 1000 + "y"],
    "ends_with": ["y" + "x" * 1000],
    "less_than": [0],
    "less_or_equal": [0],
    "greater_than": [1e9],
    "greater_or_equal": [1e9],
    "before": ["1970-01-02T00:00:00Z"],
    "after": ["2999-01-01T00:00:00Z"],
    "semver_equals": ["1.0.0-alpha.1"],
    "semver_less_than": ["0.0.0-alpha.1"],
    "semver_greater_than": ["999.0.0"],
    "matches": ["(x+x+)+y"],
    "in_cidr": ["10.0.0.0/8"],
    "in_segment": ["segment"],
}


def attribute(operator: str, number: int, turn: int) -> Any:
    """Return a value that no cache has seen and that costs what a value can."""
    unique = turn * 1000 + number
    if operator in ("equals", "in"):
        return [f"w{unique}-{index}" for index in range(limits.MAX_LIST)]
    if operator in ("contains", "starts_with", "ends_with", "matches"):
        return f"{unique:010d}" + "x" * (limits.MAX_TEXT - 10)
    if operator in ("before", "after"):
        return f"2026-01-01T00:00:00.{unique % 1_000_000:06d}+00:00"
    if operator.startswith("semver"):
        return f"{unique}.2.3-alpha.{unique}+build.{unique}"
    if operator == "in_cidr":
        return f"2001:db8::{unique % 65_536:x}"
    return unique


def conditions(operator: str, number: int) -> list[dict[str, Any]]:
    """Return *number* conditions that all have to be looked at: none of them holds, and each is turned around."""
    if operator == "in_segment":
        return [{"operator": operator, "values": ["segment"], "negate": True}] * number
    made = {"operator": operator, "values": VALUES[operator], "negate": True}
    return [{"attribute": f"a{index}", **made} for index in range(number)]


def costliest(operator: str) -> tuple[Flag, int]:
    """Return the flag whose one rule has as many such conditions as are accepted."""
    number = 1
    accepted: Flag | None = None
    while True:
        try:
            rule = {"conditions": conditions(operator, number), "variant": "on"}
            accepted = Flag("f", "production", is_enabled=True, rules=(rule,))
        except InvalidDocumentError:
            assert accepted is not None
            return accepted, number - 1
        number += 1


@dataclass
class Worst:
    """One worst rule, and the seconds that it took in each round."""

    operator: str
    compiled: CompiledSet
    number: int
    medians: list[float] = field(default_factory=list)

    def decide(self, turns: range) -> None:
        """Decide it in a context for each of *turns*, and keep the median of the seconds."""
        of, attributes = ("in_cidr", IN_SEGMENT) if self.operator == "in_segment" else (self.operator, self.number)
        seconds = []
        for context in [{f"a{index}": attribute(of, index, turn) for index in range(attributes)} for turn in turns]:
            began = time.perf_counter()
            self.compiled.evaluate("f", None, "u1", context)
            seconds.append(time.perf_counter() - began)
        self.medians.append(statistics.median(seconds))


def rules() -> list[Worst]:
    """Return each worst rule."""
    inner = ({"conditions": conditions("in_cidr", IN_SEGMENT), "variant": "on"},)
    segment = Flag("segment", "production", kind="segment", rules=inner)
    made = []
    for operator in VALUES:
        flag, number = costliest(operator)
        made.append(Worst(operator, compile_set(FlagSet("production", 1, {"f": flag, "segment": segment})), number))
    return made


def main() -> int:
    worst, met = rules(), True
    for number in range(ROUNDS):  # all in turns: what else the machine does lasts longer than a few calls
        for each in worst:
            each.decide(range(number * CALLS, (number + 1) * CALLS))
    for each in worst:
        calmest = min(each.medians)
        met = met and calmest <= BOUND
        verdict = "ok" if calmest <= BOUND else "MISSED"
        print(f"{f'{each.number} x {each.operator}':26} {calmest * 1e6:7.1f} us  <= {BOUND * 1e6:.0f} us  {verdict}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
