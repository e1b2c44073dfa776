"""How fast flags are decided through OpenFeature's SDK, beside a provider that does nothing but answer a constant."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider.no_op_provider import NoOpProvider

import configkit.testing
from benchmarks import timing
from configkit.integrations.openfeature import ConfigKitProvider

CONTEXTS = tuple(EvaluationContext(f"user-{number}", {"country": "DE", "plan": "pro"}) for number in range(1000))
BOUND = 0.85
FLAGS: dict[str, Any] = {
    "share": {"is_enabled": True, "rollout_percentage": 30},
    "rule": {
        "is_enabled": True,
        "rules": [{"conditions": [{"attribute": "country", "operator": "in", "values": ["DE"]}], "variant": "on"}],
    },
}


class Constant(NoOpProvider):
    """The floor: the same answer to everything, as complete as ours."""

    def resolve_boolean_details(
        self,
        flag_key: str,  # noqa: ARG002
        default_value: bool,  # noqa: ARG002
        evaluation_context: EvaluationContext | None = None,  # noqa: ARG002
    ) -> FlagResolutionDetails[bool]:
        return FlagResolutionDetails(True, reason=Reason.STATIC, variant="on")


def asking(client: OpenFeatureClient, name: str) -> Callable[[], None]:
    def run() -> None:
        for context in CONTEXTS:
            client.get_boolean_value(name, False, context)

    return run


def main() -> int:
    with configkit.testing.memory({}, flags=FLAGS) as kit:
        api.set_provider_and_wait(Constant(), "floor")
        api.set_provider_and_wait(ConfigKitProvider(kit), "ours")
        floor, ours = api.get_client("floor"), api.get_client("ours")
        runs = {"floor: a constant": asking(floor, "share"), "30 % rollout": asking(ours, "share"), "a rule": asking(ours, "rule")}
        figures = timing.ratios(runs, batch_seconds=0.4)
        api.shutdown()
    bounds = dict.fromkeys(("30 % rollout", "a rule"), BOUND)
    print(timing.table("Through OpenFeature's SDK", figures, operations=len(CONTEXTS), bounds=bounds))
    return 0 if timing.met(figures, bounds) else 1


if __name__ == "__main__":
    sys.exit(main())
