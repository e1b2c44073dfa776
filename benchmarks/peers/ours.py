"""configkit, through its public calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import configkit.testing
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
from configkit.flags.client import Flags

FLAGS: dict[str, Any] = {
    "plain": {"is_enabled": True, "rollout_percentage": 100},
    "rollout": {"is_enabled": True, "rollout_percentage": 30},
    "rule": {
        "is_enabled": True,
        "rules": [
            {
                "conditions": [{"attribute": "country", "operator": "in", "values": list(RULE_COUNTRIES)}],
                "split": [{"variant": "on", "weight": 1}, {"variant": "off", "weight": 1}],
            }
        ],
    },
    "targets": {"is_enabled": True, "target_users": list(TARGETED)},
    "variant": {
        "is_enabled": True,
        "variants": {name: name for name in VARIANTS},
        "split": [{"variant": name, "weight": 1} for name in VARIANTS],
    },
    **{f"filler-{number}": {"is_enabled": True, "rollout_percentage": number % 100} for number in range(FILLERS)},
}


def flags() -> Flags:
    """Return the flags of the workload."""
    return configkit.testing.memory({}, flags=FLAGS).__enter__().flags


def question(flags: Flags, case: str) -> tuple[Callable[..., Any], str, Any]:
    """Return what a case calls, and the name and the default that it gives."""
    return (flags.value, NAMES[case], "none") if case == VARIANT else (flags.is_enabled, NAMES[case], False)


def load() -> Candidate:
    """Return configkit with the workload loaded."""
    loaded = flags()
    return Candidate(
        "configkit",
        lambda user, attributes: (user, attributes),
        {case: _prebuilt(loaded, case) for case in CASES},
        {case: _building(loaded, case) for case in CASES},
    )


def _prebuilt(flags: Flags, case: str) -> Callable[[Sequence[Any]], list[Any]]:
    name = NAMES[case]
    if case == VARIANT:
        return lambda contexts: [flags.value(name, "none", user_id=user, context=attributes) for user, attributes in contexts]
    return lambda contexts: [flags.is_enabled(name, user_id=user, context=attributes) for user, attributes in contexts]


def _building(flags: Flags, case: str) -> Callable[[], list[Any]]:
    name = NAMES[case]
    if case == VARIANT:
        return lambda: [flags.value(name, "none", user_id=user, context={**attributes}) for user, attributes in pairs]
    return lambda: [flags.is_enabled(name, user_id=user, context={**attributes}) for user, attributes in pairs]
