"""Eppo's Python SDK, whose evaluation is a Rust core."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import eppo_client

from benchmarks.peers.workload import (
    CASES,
    FILLERS,
    NAMES,
    RULE_COUNTRIES,
    TARGETED,
    VARIANT,
    VARIANTS,
    Candidate,
    pairs,
)  # fmt: skip

SHARDS = 10_000
BOOLEAN = {"on": {"key": "on", "value": True}, "off": {"key": "off", "value": False}}


def _split(variant: str, flag: str, start: int, end: int) -> dict[str, Any]:
    return {"variationKey": variant, "shards": [{"salt": flag, "ranges": [{"start": start, "end": end}]}]}


def _allocation(splits: list[dict[str, Any]], *rules: dict[str, Any], key: str = "a") -> dict[str, Any]:
    return {"key": key, "rules": [{"conditions": list(rules)}] if rules else [], "splits": splits, "doLog": False}


def _flag(
    name: str, *allocations: dict[str, Any], kind: str = "BOOLEAN", variations: Mapping[str, Any] = BOOLEAN
) -> dict[str, Any]:
    return {
        "key": name,
        "enabled": True,
        "variationType": kind,
        "variations": variations,
        "totalShards": SHARDS,
        "allocations": list(allocations),
    }


def _rollout(name: str, percentage: int) -> dict[str, Any]:
    end = SHARDS * percentage // 100
    return _flag(name, _allocation([_split("on", name, 0, end), _split("off", name, end, SHARDS)]))


def definitions(extra: int = FILLERS) -> bytes:
    """Return the workload as Eppo's universal flag configuration, with *extra* further flags."""
    quarter = SHARDS // 4
    flags = [
        _flag("plain", _allocation([{"variationKey": "on", "shards": []}])),
        _rollout("rollout", 30),
        _flag(
            "rule",
            _allocation(
                [_split("on", "rule", 0, SHARDS // 2), _split("off", "rule", SHARDS // 2, SHARDS)],
                {"attribute": "country", "operator": "ONE_OF", "value": list(RULE_COUNTRIES)},
            ),
            _allocation([{"variationKey": "off", "shards": []}], key="rest"),
        ),
        _flag(
            "targets",
            _allocation([{"variationKey": "on", "shards": []}], {"attribute": "id", "operator": "ONE_OF", "value": list(TARGETED)}),
            _allocation([{"variationKey": "off", "shards": []}], key="rest"),
        ),
        _flag(
            "variant",
            _allocation([_split(name, "variant", at * quarter, (at + 1) * quarter) for at, name in enumerate(VARIANTS)]),
            kind="STRING",
            variations={name: {"key": name, "value": name} for name in VARIANTS},
        ),
        *(_rollout(f"filler-{number}", number % 100) for number in range(extra)),
    ]
    document = {
        "createdAt": "2026-01-01T00:00:00.000Z",
        "format": "SERVER",
        "environment": {"name": "production"},
        "flags": {flag["key"]: flag for flag in flags},
    }
    return json.dumps(document).encode()


class Silent(eppo_client.AssignmentLogger):
    """Logs nothing."""


def load() -> Candidate:
    """Return Eppo's client with the workload loaded."""
    config = eppo_client.ClientConfig(
        "none",
        assignment_logger=Silent(),
        poll_interval_seconds=None,
        initial_configuration=eppo_client.Configuration(flags_configuration=definitions()),
    )
    client = eppo_client.init(config)
    calls = {
        case: (client.get_string_assignment, NAMES[case], "none")
        if case == VARIANT
        else (client.get_boolean_assignment, NAMES[case], False)
        for case in CASES
    }

    def ask(case: str, contexts: Sequence[Any]) -> list[Any]:
        call, name, default = calls[case]
        return [call(name, user, attributes, default) for user, attributes in contexts]

    def ask_building(case: str) -> list[Any]:
        call, name, default = calls[case]
        return [call(name, user, {**attributes}, default) for user, attributes in pairs]

    return Candidate(
        "eppo-server-sdk",
        lambda user, attributes: (user, attributes),
        {case: lambda contexts, case=case: ask(case, contexts) for case in CASES},  # type: ignore[misc]
        {case: lambda case=case: ask_building(case) for case in CASES},  # type: ignore[misc]
    )
