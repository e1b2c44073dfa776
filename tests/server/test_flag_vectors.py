"""The golden decisions, answered over REST, over OFREP and through the OpenFeature provider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from openfeature.evaluation_context import EvaluationContext

from configkit.backends.memory import open_memory
from configkit.client import ConfigKit
from configkit.flags.snapshot import FlagChanges, FlagSet
from configkit.integrations.openfeature import ConfigKitProvider
from tests.flag_vectors import Decision, decisions, flag_set, same
from tests.server.deployment import FLAGS, Deployed, deployed


class GoldenStore:
    """A flag store that has the golden flags, those too that no store would accept."""

    def load(self, environment: str, known_version: int | None = None) -> FlagSet | None:
        found = flag_set() if environment == "production" else FlagSet(environment, 0, {})
        return None if known_version == found.version else found

    def changes(self, environment: str, since: int) -> FlagChanges | None:
        return None

    def __getattr__(self, name: str) -> Any:
        if name in ("read", "create", "update", "delete", "list"):
            return None
        raise AttributeError(name)


@pytest.fixture(scope="module")
def golden() -> Iterator[Deployed]:
    with deployed(replace(open_memory(), flags=GoldenStore())) as server:
        yield server


# Over the wire a default, a time and what is no JSON user id cannot be said.
ASKED = [each for each in decisions() if each.default is None and each.now is None]


def expected(decision: Decision) -> tuple[Any, ...]:
    return decision.variant, decision.reason, decision.error_code, decision.rule


def test_rest_answers_the_golden_decisions(golden: Deployed) -> None:
    asked = [each for each in ASKED if each.user_id is None or (isinstance(each.user_id, str) and len(each.user_id) <= 1024)]
    assert len(asked) > 500
    for decision in asked:
        body = {"flag_name": decision.flag, "environment": "production", "user_id": decision.user_id, "context": decision.context}
        answer = golden.http.post(f"{FLAGS}/evaluate", json=body).json()
        found = answer["variant"], answer["reason"], answer.get("error_code"), answer.get("rule")
        assert found == expected(decision), decision
        assert same(answer["value"], False if decision.error_code else decision.value), decision


def test_ofrep_answers_the_golden_decisions(golden: Deployed) -> None:
    for decision in ASKED:
        context = {**(decision.context or {})}
        context.pop("targetingKey", None)
        if decision.user_id is not None:
            context["targetingKey"] = decision.user_id
        path = f"/ofrep/v1/evaluate/flags/{decision.flag}?environment=production"
        answer = golden.http.post(path, json={"context": context})
        found = answer.json()
        if decision.error_code is not None:
            assert answer.status_code in (400, 404)
            assert found["errorCode"] == decision.error_code, decision
            continue
        assert answer.status_code == 200, decision
        assert (found["variant"] or None, found["reason"], found["metadata"].get("rule")) == (
            decision.variant, decision.reason, decision.rule,
        ), decision  # fmt: skip
        assert same(found.get("value"), decision.value), decision


def test_the_openfeature_provider_answers_the_golden_decisions() -> None:
    backends = replace(open_memory(threads=False), flags=GoldenStore())
    with ConfigKit(backends, environment="production", threads=False) as kit:
        provider = ConfigKitProvider(kit)
        provider.initialize(EvaluationContext())
        resolvers: dict[type, tuple[Any, Any]] = {
            bool: (provider.resolve_boolean_details, False),
            str: (provider.resolve_string_details, "none"),
            int: (provider.resolve_integer_details, 77),
            float: (provider.resolve_float_details, 7.7),
            dict: (provider.resolve_object_details, {}),
            list: (provider.resolve_object_details, []),
        }
        for decision in ASKED:
            resolve, default = resolvers[type(False if decision.value is None else decision.value)]
            context = EvaluationContext(decision.user_id, decision.context or {})
            found = resolve(decision.flag, default, context)
            code = None if found.error_code is None else found.error_code.value
            if decision.value is None and decision.variant is None and decision.error_code is None:
                assert found.value == default
                continue
            assert (found.variant, found.reason, code) == (decision.variant, decision.reason, decision.error_code), decision
            assert same(found.value, default if decision.error_code else decision.value), decision
