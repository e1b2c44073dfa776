"""PostHog's Python SDK, deciding locally by flags that it is given, and sending nothing."""

from __future__ import annotations

import logging
from typing import Any

from posthog import Posthog

from benchmarks.peers.workload import CASES, FILLERS, NAMES, RULE_COUNTRIES, TARGETED, VARIANT, VARIANTS, Candidate, candidate


def _flag(
    number: int, key: str, percentage: int, properties: list[dict[str, Any]] | None = None, variants: Any = None
) -> dict[str, Any]:
    filters: dict[str, Any] = {"groups": [{"properties": properties or [], "rollout_percentage": percentage}]}
    if variants:
        filters["multivariate"] = {"variants": variants}
    return {"id": number, "key": key, "active": True, "is_simple_flag": False, "filters": filters}


def _among(attribute: str, values: list[str]) -> dict[str, Any]:
    return {"key": attribute, "operator": "exact", "value": values, "type": "person"}


FLAGS = [
    _flag(1, "plain", 100),
    _flag(2, "rollout", 30),
    _flag(3, "rule", 50, [_among("country", list(RULE_COUNTRIES))]),
    _flag(4, "targets", 100, [_among("id", list(TARGETED))]),
    _flag(5, "variant", 100, variants=[{"key": name, "rollout_percentage": 25} for name in VARIANTS]),
    *(_flag(10 + number, f"filler-{number}", number % 100) for number in range(FILLERS)),
]


def load() -> Candidate:
    """Return PostHog's SDK with the workload loaded."""
    logging.getLogger("posthog").setLevel(logging.CRITICAL)
    client = Posthog("key", host="http://127.0.0.1:9", sync_mode=True, disabled=False, enable_local_evaluation=False)
    client.feature_flags = FLAGS

    def question(name: str) -> Any:
        def ask(context: tuple[str, dict[str, Any]]) -> Any:
            found = client.get_feature_flag(
                name, context[0], person_properties=context[1], only_evaluate_locally=True, send_feature_flag_events=False
            )
            return False if found is None else found

        return ask

    questions = {case: question(NAMES[case]) for case in CASES}
    questions[VARIANT] = question("variant")
    return candidate("posthog", lambda user, attributes: (user, {"id": user, **attributes}), questions)
