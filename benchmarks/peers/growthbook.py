"""GrowthBook's Python SDK: an object of its own for each user, with the features given."""

from __future__ import annotations

import logging
from typing import Any

from growthbook import GrowthBook

from benchmarks.peers.workload import CASES, FILLERS, NAMES, RULE_COUNTRIES, TARGETED, VARIANT, VARIANTS, Candidate, candidate


def _share(percentage: int) -> dict[str, Any]:
    return {"defaultValue": False, "rules": [{"force": True, "coverage": percentage / 100, "hashAttribute": "id"}]}


FEATURES: dict[str, Any] = {
    "plain": {"defaultValue": True},
    "rollout": _share(30),
    "rule": {
        "defaultValue": False,
        "rules": [{"condition": {"country": {"$in": list(RULE_COUNTRIES)}}, "force": True, "coverage": 0.5, "hashAttribute": "id"}],
    },
    "targets": {"defaultValue": False, "rules": [{"condition": {"id": {"$in": list(TARGETED)}}, "force": True}]},
    "variant": {
        "defaultValue": "none",
        "rules": [{"key": "variant", "variations": list(VARIANTS), "weights": [0.25] * 4, "coverage": 1, "hashAttribute": "id"}],
    },
    **{f"filler-{number}": _share(number % 100) for number in range(FILLERS)},
}


def load() -> Candidate:
    """Return GrowthBook's SDK with the workload loaded."""
    logging.getLogger("growthbook").setLevel(logging.ERROR)
    first = GrowthBook(features=FEATURES)
    features = first.get_features()

    def prepare(user: str, attributes: dict[str, Any]) -> GrowthBook:
        return GrowthBook(attributes={"id": user, **attributes}, features=features)

    questions: dict[str, Any] = {case: (lambda context, name=NAMES[case]: context.is_on(name)) for case in CASES}
    questions[VARIANT] = lambda context: context.get_feature_value("variant", "none")
    return candidate("growthbook", prepare, questions)
