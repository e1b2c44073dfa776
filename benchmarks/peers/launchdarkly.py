"""LaunchDarkly's Python SDK, with its flags given and nothing sent."""

from __future__ import annotations

import logging
from typing import Any

from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.impl.model import FeatureFlag
from ldclient.integrations.test_data import TestData
from ldclient.versioned_data_kind import FEATURES, SEGMENTS

from benchmarks.peers.workload import CASES, FILLERS, NAMES, RULE_COUNTRIES, TARGETED, VARIANT, VARIANTS, Candidate, candidate


def _flag(name: str, fallthrough: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"key": name, "version": 1, "on": True, "salt": name, "variations": [True, False], "offVariation": 1}
    return {**base, "targets": [], "rules": [], "prerequisites": [], "fallthrough": fallthrough, **more}


def _share(*weights: int) -> dict[str, Any]:
    return {"rollout": {"variations": [{"variation": index, "weight": weight} for index, weight in enumerate(weights)]}}


def share_flag(name: str, percentage: int) -> dict[str, Any]:
    """Return a flag that is on for a share of the users."""
    return _flag(name, _share(percentage * 1000, 100_000 - percentage * 1000))


RULE = {"id": "r", "clauses": [{"attribute": "country", "op": "in", "values": list(RULE_COUNTRIES), "negate": False}]}
FLAGS = [
    _flag("plain", {"variation": 0}),
    _flag("rollout", _share(30_000, 70_000)),
    _flag("rule", {"variation": 1}, rules=[{**RULE, **_share(50_000, 50_000)}]),
    _flag("targets", {"variation": 1}, targets=[{"variation": 0, "values": list(TARGETED)}]),
    _flag("variant", _share(25_000, 25_000, 25_000, 25_000), variations=list(VARIANTS)),
    *(share_flag(f"filler-{number}", number % 100) for number in range(FILLERS)),
]


def _context(user: str, attributes: dict[str, Any]) -> Context:
    builder = Context.builder(user)
    for name, value in attributes.items():
        builder.set(name, value)
    return builder.build()


def client_of(flags: list[dict[str, Any]]) -> LDClient:
    """Return a client with *flags*."""
    logging.getLogger("ldclient").setLevel(logging.ERROR)
    source = TestData.data_source()
    client = LDClient(Config("key", update_processor_class=source, send_events=False, diagnostic_opt_out=True))
    everything: Any = {FEATURES: {flag["key"]: FeatureFlag(flag) for flag in flags}, SEGMENTS: {}}
    client._config.feature_store.init(everything)  # noqa: SLF001  the SDK's own way in is a connection
    return client


def load() -> Candidate:
    """Return LaunchDarkly's SDK with the workload loaded."""
    client = client_of(FLAGS)
    questions: dict[str, Any] = {case: (lambda context, name=NAMES[case]: client.variation(name, context, False)) for case in CASES}
    questions[VARIANT] = lambda context: client.variation("variant", context, "none")
    return candidate("launchdarkly", _context, questions)
