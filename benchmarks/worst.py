"""The costliest rules that the limits accept, on contexts made to be costly: each is decided within a bound."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

from configkit.errors import InvalidDocumentError
from configkit.flags import limits
from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagSet

BOUND = 50e-6
CALLS = 300
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


def rules() -> Iterator[tuple[str, CompiledSet, list[dict[str, Any]]]]:
    """Yield each worst rule with the contexts to decide it in."""
    most = int(limits.MAX_SEGMENT_COST / limits.COSTS["in_cidr"])
    inner = ({"conditions": conditions("in_cidr", most), "variant": "on"},)
    segment = Flag("segment", "production", kind="segment", rules=inner)
    for operator in VALUES:
        flag, number = costliest(operator)
        compiled = compile_set(FlagSet("production", 1, {"f": flag, "segment": segment}))
        looked_at = "in_cidr" if operator == "in_segment" else operator
        attributes = most if operator == "in_segment" else number
        contexts = [{f"a{index}": attribute(looked_at, index, turn) for index in range(attributes)} for turn in range(CALLS)]
        yield f"{number} x {operator}", compiled, contexts


def main() -> int:
    met = True
    for what, compiled, contexts in rules():
        compiled.evaluate("f", None, "u1", contexts[0])
        seconds = []
        for context in contexts:
            began = time.perf_counter()
            compiled.evaluate("f", None, "u1", context)
            seconds.append(time.perf_counter() - began)
        median = statistics.median(seconds)
        met = met and median <= BOUND
        verdict = "ok" if median <= BOUND else "MISSED"
        print(f"{what:26} {median * 1e6:7.1f} us  <= {BOUND * 1e6:.0f} us  {verdict}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
