"""Unleash's Python client, whose evaluation is a Rust core, with its features given and nothing sent."""

from __future__ import annotations

import tempfile
from typing import Any

from UnleashClient import UnleashClient
from UnleashClient.cache import FileCache

from benchmarks.peers.workload import CASES, FILLERS, NAMES, RULE_COUNTRIES, TARGETED, VARIANT, VARIANTS, Candidate, candidate


def _feature(name: str, strategy: dict[str, Any], **more: Any) -> dict[str, Any]:
    strategies = [{"parameters": {}, "constraints": [], **strategy}]
    return {"name": name, "type": "release", "enabled": True, "strategies": strategies, **more}


def _share(percentage: int, **more: Any) -> dict[str, Any]:
    parameters = {"rollout": str(percentage), "stickiness": "userId", "groupId": "g"}
    return {"name": "flexibleRollout", "parameters": parameters, **more}


FEATURES = [
    _feature("plain", {"name": "default"}),
    _feature("rollout", _share(30)),
    _feature("rule", _share(50, constraints=[{"contextName": "country", "operator": "IN", "values": list(RULE_COUNTRIES)}])),
    _feature("targets", {"name": "userWithId", "parameters": {"userIds": ",".join(TARGETED)}}),
    _feature("variant", {"name": "default"}, variants=[{"name": name, "weight": 250, "stickiness": "userId"} for name in VARIANTS]),
    *(_feature(f"filler-{number}", _share(number % 100)) for number in range(FILLERS)),
]


def _context(user: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {"userId": user, "properties": {name: str(value) for name, value in attributes.items()}}


def load() -> Candidate:
    """Return Unleash's client with the workload loaded."""
    cache = FileCache("benchmark", directory=tempfile.mkdtemp())
    cache.bootstrap_from_dict({"version": 2, "features": FEATURES})
    client = UnleashClient("http://127.0.0.1:9/api", "benchmark", cache=cache, disable_metrics=True, disable_registration=True)
    questions: dict[str, Any] = {case: (lambda context, name=NAMES[case]: client.is_enabled(name, context)) for case in CASES}
    questions[VARIANT] = lambda context: client.get_variant("variant", context)["name"]
    return candidate("unleash", _context, questions)
