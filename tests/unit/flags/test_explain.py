"""Explanations agree with decisions, say what was looked at, and count as no use."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.explain import Explanation, explain
from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagSet
from tests.flag_vectors import decisions, flag_set
from tests.unit.flags.test_engine_properties import USUAL, contexts, flags, set_of, users


@pytest.fixture(scope="module")
def golden() -> CompiledSet:
    return compile_set(flag_set())


def test_the_golden_decisions_are_explained(golden: CompiledSet) -> None:
    for decision in (each for each in decisions() if each.default is None):
        found = explain(golden, decision.flag, decision.user_id, decision.context, now=decision.now)
        answer = found.evaluation
        assert (answer.value, answer.variant, answer.reason, answer.error_code, answer.rule) == decision.outcome, decision
        assert found.steps[-1].kind == "outcome"
        assert decision.reason in found.steps[-1].detail
        held = [step for step in found.steps if step.kind == "rule" and step.holds]
        assert decision.rule is None or held[-1].detail == decision.rule, decision


@given(flag=flags(), user=users, context=contexts)
@USUAL
def test_explaining_never_raises_counts_nothing_and_agrees(flag: Flag, user: Any, context: Any) -> None:
    compiled = set_of(flag)
    wanted = compiled.evaluate("f", None, user, context, now=0.0)
    before = {name: tally.count for name, tally in compiled.tallies.items()}
    found = explain(compiled, "f", user, context, now=0.0)
    assert {name: tally.count for name, tally in compiled.tallies.items() if tally.count} == {
        name: count for name, count in before.items() if count
    }
    assert (found.evaluation.variant, found.evaluation.reason, found.evaluation.rule) == (
        wanted.variant, wanted.reason, wanted.rule,
    )  # fmt: skip
    if wanted.rule is not None:
        assert [step.detail for step in found.steps if step.kind == "rule" and step.holds][-1] == wanted.rule


def story(found: Explanation) -> list[str]:
    marks = {True: "+", False: "-", None: " "}
    return [f"{'  ' * step.depth}{marks[step.holds]} {step.kind}: {step.detail}" for step in found.steps]


def test_an_explanation_reads_like_the_decision() -> None:
    rules: list[dict[str, Any]] = [
        {
            "name": "germans",
            "conditions": [
                {"any": [{"attribute": "country", "operator": "in", "values": ["DE", "AT"]}]},
                {"attribute": "age", "operator": "greater_than", "values": [17], "negate": True},
            ],
            "variant": "on",
        },
        {"name": "pros", "conditions": [{"operator": "in_segment", "values": ["pro"]}], "variant": "on", "percentage": 60},
    ]
    made = {
        "pro": Flag("pro", "production", kind="segment", rules=({"conditions": [], "variant": "on"},)),
        "api": Flag("api", "production", is_enabled=True, rollout_percentage=100),
        "ui": Flag(
            "ui", "production", is_enabled=True, target_users=("bob",), rules=tuple(rules), prerequisites=({"flag": "api"},)
        ),
    }
    compiled = compile_set(FlagSet("production", 1, made))
    assert story(explain(compiled, "ui", "eve", {"country": "FR"})) == [
        "+ flag: ui is on",
        "+ prerequisite: api answers on (STATIC); needed: on",
        "- target: one of the 1 users that get on",
        "- rule: germans",
        "  - condition: any of:",
        "    - condition: country in 'DE', 'AT'; it is 'FR'",
        "  - condition: age not greater_than 17; it is missing",
        "+ rule: pros",
        "  + condition: in segment 'pro'",
        "    bucket: hash of ['ui', 'eve']",
        "  + bucket: bucket 37,934 of 100,000; in below 60,000",
        "  outcome: variant on: SPLIT",
    ]


def test_a_flag_that_is_not_there_is_explained_too(golden: CompiledSet) -> None:
    assert story(explain(golden, "nobody")) == [
        "- flag: there is no flag nobody in production",
        "  outcome: FLAG_NOT_FOUND: ERROR",
    ]
