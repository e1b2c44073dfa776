"""Statsig's Python SDK, whose evaluation is a Rust core, with its definitions given and nothing sent."""

from __future__ import annotations

import json
from typing import Any

import statsig_python_core as core

from benchmarks.peers.workload import CASES, FILLERS, NAMES, RULE_COUNTRIES, TARGETED, VARIANT, VARIANTS, Candidate, candidate

BUCKETS = 1000


def _condition(kind: str = "public", **more: Any) -> dict[str, Any]:
    return {"type": kind, "targetValue": None, "operator": None, "field": None, "additionalValues": {}, "idType": "userID", **more}


def _rule(name: str, percentage: int, condition: str, value: Any = True) -> dict[str, Any]:
    named = {"name": name, "groupName": name, "id": name, "salt": name}
    return {**named, "passPercentage": percentage, "conditions": [condition], "returnValue": value, "idType": "userID"}


def _spec(name: str, *rules: dict[str, Any], kind: str = "feature_gate", default: Any = False) -> dict[str, Any]:
    shared = {"type": kind, "entity": kind, "salt": name, "enabled": True, "idType": "userID", "version": 1}
    return {**shared, "defaultValue": default, "rules": list(rules)}


CONDITIONS = {
    "everybody": _condition(),
    "countries": _condition("user_field", field="country", operator="any", targetValue=list(RULE_COUNTRIES)),
    "users": _condition("user_field", field="userID", operator="any", targetValue=list(TARGETED)),
    **{
        f"below {name}": _condition(
            "user_bucket",
            operator="lt",
            targetValue=(index + 1) * BUCKETS // len(VARIANTS),
            additionalValues={"salt": "variant"},
        )
        for index, name in enumerate(VARIANTS)
    },
}
GATES = {
    "plain": _spec("plain", _rule("p", 100, "everybody")),
    "rollout": _spec("rollout", _rule("o", 30, "everybody")),
    "rule": _spec("rule", _rule("r", 50, "countries")),
    "targets": _spec("targets", _rule("t", 100, "users")),
    **{f"filler-{n}": _spec(f"filler-{n}", _rule(f"f{n}", n % 100, "everybody")) for n in range(FILLERS)},
}
VARIANT_RULES = [_rule(name, 100, f"below {name}", {"value": name}) for name in VARIANTS]
DEFINITIONS = {
    "has_updates": True,
    "time": 1,
    "response_format": "dcs-v2",
    "company_id": "none",
    "condition_map": CONDITIONS,
    "feature_gates": GATES,
    "dynamic_configs": {"variant": _spec("variant", *VARIANT_RULES, kind="dynamic_config", default={})},
    "layer_configs": {},
    "layers": {},
    "experiment_to_layer": {},
}


class _Given(core.DataStore):
    """The definitions, in the place of Statsig's servers."""

    def get(self, key: str) -> core.DataStoreResponse:  # noqa: ARG002  the SDK's signature
        return core.DataStoreResponse(json.dumps(DEFINITIONS), 1)


def load() -> Candidate:
    """Return Statsig's SDK with the workload loaded."""
    options = core.StatsigOptions(
        data_store=_Given(), disable_network=True, disable_all_logging=True, disable_country_lookup=True, output_log_level="none"
    )
    client = core.Statsig("secret-none", options)
    client.initialize().wait()
    questions: dict[str, Any] = {case: (lambda user, name=NAMES[case]: client.check_gate(user, name)) for case in CASES}
    questions[VARIANT] = lambda user: client.get_dynamic_config(user, "variant").get("value", "none")
    return candidate("statsig", lambda user, attributes: core.StatsigUser(user, custom=attributes), questions)
