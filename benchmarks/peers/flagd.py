"""flagd's own core in Python, as its in-process provider uses it."""

from __future__ import annotations

from typing import Any

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError

from benchmarks.peers.workload import CASES, FILLERS, NAMES, RULE_COUNTRIES, TARGETED, VARIANT, VARIANTS, Candidate, candidate

BOOLEAN = {"on": True, "off": False}


def _flag(targeting: Any, variants: Any = BOOLEAN, default: str = "off") -> dict[str, Any]:
    return {"state": "ENABLED", "variants": variants, "defaultVariant": default, "targeting": targeting}


def _share(percentage: int) -> dict[str, Any]:
    return {"fractional": [["on", percentage], ["off", 100 - percentage]]}


FLAGS = {
    "plain": _flag({}, default="on"),
    "rollout": _flag(_share(30)),
    "rule": _flag({"if": [{"in": [{"var": "country"}, list(RULE_COUNTRIES)]}, _share(50), "off"]}),
    "targets": _flag({"if": [{"in": [{"var": "targetingKey"}, list(TARGETED)]}, "on", "off"]}),
    "variant": _flag({"fractional": [[name, 1] for name in VARIANTS]}, {name: name for name in VARIANTS}, VARIANTS[0]),
    **{f"filler-{number}": _flag(_share(number % 100)) for number in range(FILLERS)},
}


def load() -> Candidate:
    """Return flagd's core with the workload loaded."""
    core = FlagdCore()
    core.set_flags({"flags": FLAGS})

    def boolean(name: str) -> Any:
        def ask(context: EvaluationContext) -> Any:
            try:
                return core.resolve_boolean_value(name, False, context).value
            except FlagNotFoundError:
                return False

        return ask

    questions = {case: boolean(NAMES[case]) for case in CASES}
    questions[VARIANT] = lambda context: core.resolve_string_value("variant", "none", context).value
    return candidate("flagd core", EvaluationContext, questions)
