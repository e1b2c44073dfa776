"""Imported flags decide as those that they were: beside flagd's, Unleash's and LaunchDarkly's own engines, on seeded documents."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.impl.model import FeatureFlag, Segment
from ldclient.integrations.test_data import TestData
from ldclient.versioned_data_kind import FEATURES, SEGMENTS
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from yggdrasil_engine.engine import UnleashEngine  # type: ignore[import-untyped]

from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.imports import flagd, launchdarkly, unleash
from configkit.flags.imports.findings import Imported
from configkit.flags.imports.plan import planned
from configkit.flags.snapshot import FlagSet

FLAGS, CONTEXTS = 150, 60
USERS = [f"user-{number}" for number in range(12)]
COUNTRIES = ["DE", "FR", "AT", "US"]
MAILS = ["a@example.com", "b@example.org", "EXAMPLE"]
VERSIONS = ["1.0.0", "2.4.1", "2.4.1-rc.1", "10.0.0"]
NUMBERS = [-1, 0, 3, 17.5, 18, 90]

Chance = random.Random


def context_of(chance: Chance, numbers: Callable[[Any], Any] = lambda number: number) -> dict[str, Any]:
    """Return a context with most attributes, each of its type."""
    whole = {
        "country": chance.choice(COUNTRIES),
        "email": chance.choice(MAILS),
        "app": chance.choice(VERSIONS),
        "age": numbers(chance.choice(NUMBERS)),
    }
    return {name: value for name, value in whole.items() if chance.random() < 0.8}


def compiled_of(imported: Imported) -> CompiledSet:
    """Return the flags; a few are refused, since they would take too long to decide here, or are nested too deeply."""
    plan = planned(imported, {})
    limits = ("us to decide", "nested deeper", "there is no flag")
    assert [refusal for refusal in plan.refusals if not any(limit in refusal.reason for limit in limits)] == []
    assert len(plan.refusals) < FLAGS / 5
    return compile_set(FlagSet("production", 1, {step.flag.name: step.flag for step in plan.steps}))


# -- flagd -------------------------------------------------------------------------------------------------------------


def flagd_condition(chance: Chance, depth: int = 2) -> dict[str, Any]:
    if depth and chance.random() < 0.4:
        inner = [flagd_condition(chance, depth - 1) for _ in range(chance.randint(1, 2))]
        return {"!": inner[:1]} if chance.random() < 0.4 else {chance.choice(["and", "or"]): inner}
    choices: list[Callable[[], dict[str, Any]]] = [
        lambda: {chance.choice(["==", "!=", "===", "!=="]): [{"var": "country"}, chance.choice(COUNTRIES)]},
        lambda: {"===": [{"var": "age"}, chance.choice(NUMBERS)]},
        lambda: {"in": [{"var": "country"}, chance.sample(COUNTRIES, 2)]},
        lambda: {"in": [chance.choice(["example", "@"]), {"var": "email"}]},
        lambda: {"starts_with": [{"var": "email"}, "a@"]},
        lambda: {"ends_with": [{"var": "email"}, ".org"]},
        lambda: {chance.choice(["<", "<=", ">", ">="]): [{"var": "age"}, chance.choice(NUMBERS)]},
        lambda: {chance.choice(["<", "<="]): [0, {"var": "age"}, 18]},
        lambda: {"sem_ver": [{"var": "app"}, chance.choice(["=", "!=", "<", "<=", ">", ">="]), chance.choice(VERSIONS)]},
        lambda: {"===": [{"var": "targetingKey"}, chance.choice(USERS)]},
        lambda: {"$ref": "pilot"},
    ]
    return chance.choice(choices)()


def flagd_answer(chance: Chance, depth: int = 1) -> Any:
    kind = chance.random()
    if kind < 0.3:
        return {"fractional": [[name, chance.randint(0, 50)] for name in ("a", "b")] + [["c", chance.randint(1, 50)]]}
    if kind < 0.5 and depth:
        return flagd_if(chance, depth - 1)
    return chance.choice(["a", "b", "c", None])


def flagd_if(chance: Chance, depth: int = 1) -> dict[str, Any]:
    arguments: list[Any] = []
    for _ in range(chance.randint(1, 2)):
        arguments += [flagd_condition(chance), flagd_answer(chance, depth)]
    return {"if": [*arguments, flagd_answer(chance, depth)] if chance.random() < 0.7 else arguments}


def test_flags_of_flagd_decide_as_they_did() -> None:
    chance = Chance(1)
    definitions = {
        f"flag-{number}": {
            "state": "ENABLED" if chance.random() < 0.9 else "DISABLED",
            "variants": {"a": "A", "b": "B", "c": "C"},
            "defaultVariant": chance.choice("abc"),
            "targeting": chance.choice([{}, flagd_if(chance), flagd_if(chance), {"fractional": [["a", 1], ["b"]]}]),
        }
        for number in range(FLAGS)
    }
    definitions["truth"] = {
        "state": "ENABLED",
        "variants": {"true": "A", "false": "B"},
        "defaultVariant": "false",
        "targeting": {"ends_with": [{"var": "email"}, ".org"]},
    }
    document = {"flags": definitions, "$evaluators": {"pilot": {"in": [{"var": "country"}, ["DE", "US"]]}}}
    theirs = FlagdCore()
    theirs.set_flags(json.loads(json.dumps(document)))
    ours = compiled_of(flagd.read(document, "production"))
    differing = []
    for name in ours.flags:
        for _ in range(CONTEXTS):
            user, context = chance.choice(USERS), context_of(chance)
            wanted = theirs.resolve_string_value(name, "mine", EvaluationContext(user, context))
            found = ours.evaluate(name, "mine", user, context)
            if found.value != wanted.value:
                differing.append((name, user, context, wanted.value, found.value, definitions[name]))
    assert differing[:3] == []


# -- Unleash -----------------------------------------------------------------------------------------------------------


def unleash_constraint(chance: Chance) -> dict[str, Any]:
    choices: list[Callable[[], dict[str, Any]]] = [
        lambda: {"contextName": "country", "operator": chance.choice(["IN", "NOT_IN"]), "values": chance.sample(COUNTRIES, 2)},
        lambda: {"contextName": "userId", "operator": chance.choice(["IN", "NOT_IN"]), "values": chance.sample(USERS, 4)},
        lambda: {
            "contextName": "email",
            "operator": chance.choice(["STR_CONTAINS", "STR_STARTS_WITH", "STR_ENDS_WITH"]),
            "values": chance.choice([["example"], ["a@", ".org"], ["EXA.", "EXAMPLE"]]),
            "caseInsensitive": chance.random() < 0.5,
        },
        lambda: {
            "contextName": "age",
            "operator": chance.choice(["NUM_EQ", "NUM_GT", "NUM_GTE", "NUM_LT", "NUM_LTE"]),
            "value": str(chance.choice(NUMBERS)),
        },
        lambda: {
            "contextName": "app",
            "operator": chance.choice(["SEMVER_EQ", "SEMVER_GT", "SEMVER_LT"]),
            "value": chance.choice(VERSIONS),
        },
    ]
    return {**chance.choice(choices)(), "inverted": chance.random() < 0.3}


def unleash_strategy(chance: Chance) -> dict[str, Any]:
    strategies: list[dict[str, Any]] = [
        {"name": "default"},
        {"name": "userWithId", "parameters": {"userIds": ", ".join(chance.sample(USERS, 3))}},
        {"name": "flexibleRollout", "parameters": {"rollout": chance.choice(["0", "100"]), "stickiness": "default"}},
    ]
    constraints = [unleash_constraint(chance) for _ in range(chance.randint(0, 2))]
    segments = [1] if chance.random() < 0.2 else []
    return {"parameters": {}, **chance.choice(strategies), "constraints": constraints, "segments": segments}


def test_flags_of_unleash_decide_as_they_did() -> None:
    chance = Chance(2)
    features: list[dict[str, Any]] = [
        {
            "name": f"flag-{number}",
            "type": "release",
            "enabled": chance.random() < 0.9,
            "strategies": [unleash_strategy(chance) for _ in range(chance.randint(0, 3))],
            "dependencies": [{"feature": f"flag-{number - 1}"}] if number % 2 and chance.random() < 0.3 else [],
        }
        for number in range(FLAGS)
    ]
    segments = [{"id": 1, "name": "pilot users", "constraints": [unleash_constraint(chance), unleash_constraint(chance)]}]
    document = {"version": 2, "features": features, "segments": segments}
    engine = UnleashEngine()
    engine.take_state(json.dumps(document))
    imported = unleash.read(document, "production")
    ours = compiled_of(imported)
    differing = []
    for feature in (each for each in features if each["name"] in ours.flags):
        for _ in range(CONTEXTS):
            user, context = chance.choice(USERS), context_of(chance)
            properties = {name: str(value) for name, value in context.items()}
            wanted = engine.is_enabled(feature["name"], {"userId": user, "properties": properties}).is_enabled
            found = ours.evaluate(feature["name"], False, user, context).value
            if found is not wanted:
                differing.append((feature, user, context, wanted))
    assert differing[:3] == []


def test_without_what_it_hashes_a_strategy_of_unleash_is_for_nobody_and_the_next_one_decides() -> None:
    here = [{"contextName": "country", "operator": "IN", "values": ["DE"]}]
    names = [("flexibleRollout", {"rollout": str(share), "stickiness": "company"}) for share in (50, 100)]
    names.append(("gradualRolloutUserId", {"percentage": "50"}))
    features = [
        {
            "name": f"flag-{number}",
            "enabled": True,
            "strategies": [{"name": name, "parameters": parameters}, {"name": "default", "constraints": here}],
        }
        for number, (name, parameters) in enumerate(names)
    ]
    document = {"version": 2, "features": features}
    engine = UnleashEngine()
    engine.take_state(json.dumps(document))
    ours = compiled_of(unleash.read(document, "production", reshuffle=True))
    for feature in features:
        for country in ("DE", "US"):
            wanted = engine.is_enabled(feature["name"], {"properties": {"country": country}}).is_enabled
            assert wanted is (country == "DE")
            assert ours.evaluate(str(feature["name"]), None, None, {"country": country}).value is wanted


# -- LaunchDarkly ------------------------------------------------------------------------------------------------------


def launchdarkly_clause(chance: Chance) -> dict[str, Any]:
    choices: list[Callable[[], dict[str, Any]]] = [
        lambda: {"attribute": "country", "op": "in", "values": chance.sample(COUNTRIES, 2)},
        lambda: {"attribute": "key", "op": "in", "values": chance.sample(USERS, 4)},
        lambda: {"attribute": "age", "op": "in", "values": chance.sample(NUMBERS, 2)},
        lambda: {"attribute": "email", "op": chance.choice(["startsWith", "endsWith", "contains"]), "values": ["a@", ".org"]},
        lambda: {"attribute": "/email", "contextKind": "user", "op": "matches", "values": ["^[ab]@|EX"]},
        lambda: {
            "attribute": "age",
            "op": chance.choice(["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"]),
            "values": [chance.choice(NUMBERS)],
        },
        lambda: {
            "attribute": "app",
            "op": chance.choice(["semVerEqual", "semVerLessThan", "semVerGreaterThan"]),
            "values": [chance.choice([*VERSIONS, "2", "2.4"])],
        },
        lambda: {"attribute": "", "op": "segmentMatch", "values": ["pilot"]},
        lambda: {"attribute": "email", "op": "lessThan", "values": [5]},
    ]
    return {**chance.choice(choices)(), "negate": chance.random() < 0.3}


def launchdarkly_flag(chance: Chance, number: int) -> dict[str, Any]:
    boolean = chance.random() < 0.5
    rules = [
        {
            "id": f"r{index}",
            "clauses": [launchdarkly_clause(chance) for _ in range(chance.randint(1, 2))],
            "variation": chance.randint(0, 1),
        }
        for index in range(chance.randint(0, 3))
    ]
    users = chance.sample(USERS, 4)
    return {
        "key": f"flag-{number}",
        "version": 1,
        "on": chance.random() < 0.9,
        "salt": "s",
        "variations": [True, False] if boolean else ["A", "B", "C"],
        "targets": [{"variation": 0, "values": users[:2]}, {"variation": 1, "values": users[1:3]}],
        "rules": rules,
        "fallthrough": chance.choice(
            [{"variation": 1}, {"rollout": {"variations": [{"variation": 0, "weight": 0}, {"variation": 1, "weight": 100_000}]}}]
        ),
        "offVariation": chance.choice([0, 1, None]),
        "prerequisites": [{"key": f"flag-{number - 1}", "variation": 0}] if number % 2 and chance.random() < 0.5 else [],
    }


@pytest.fixture
def ld_client() -> Iterator[LDClient]:
    data = TestData.data_source()
    with LDClient(Config("key", update_processor_class=data, send_events=False, diagnostic_opt_out=True)) as client:
        yield client


def test_flags_of_launchdarkly_decide_as_they_did(ld_client: LDClient) -> None:
    chance = Chance(3)
    flags = {f"flag-{number}": launchdarkly_flag(chance, number) for number in range(FLAGS)}
    rules = [{"id": "one", "clauses": [{"attribute": "country", "op": "in", "values": ["DE"]}]}]
    segment = {"key": "pilot", "version": 1, "included": USERS[:2], "excluded": USERS[1:4], "rules": rules, "salt": "s"}
    everything: Any = {FEATURES: {name: FeatureFlag(each) for name, each in flags.items()}, SEGMENTS: {"pilot": Segment(segment)}}
    ld_client._config.feature_store.init(everything)
    ours = compiled_of(launchdarkly.read({"flags": flags, "segments": {"pilot": segment}}, "production"))
    differing = []
    for name in (each for each in flags if each in ours.flags):
        for _ in range(CONTEXTS):
            user, context = chance.choice(USERS), context_of(chance)
            wanted = ld_client.variation(name, Context.from_dict({"kind": "user", "key": user, **context}), None)
            found = ours.evaluate(name, None, user, context).value
            if found != wanted:
                differing.append((flags[name], user, context, wanted, found))
    assert differing[:3] == []


def test_without_what_it_hashes_a_rollout_of_launchdarkly_serves_its_first_variation(ld_client: LDClient) -> None:
    parts = [{"variation": number, "weight": weight} for number, weight in ((0, 0), (2, 40_000), (1, 60_000))]
    rollout = {"rollout": {"variations": parts, "bucketBy": "company"}}
    whole = {"version": 1, "on": True, "salt": "s", "variations": ["A", "B", "C"], "offVariation": 0}
    clause = {"attribute": "country", "op": "in", "values": ["DE"]}
    inside = {"attribute": "", "op": "segmentMatch", "values": ["some"]}
    flags: dict[str, Any] = {
        "rest": {**whole, "key": "rest", "fallthrough": rollout},
        "rule": {**whole, "key": "rule", "fallthrough": {"variation": 0}, "rules": [{"id": "r", "clauses": [clause], **rollout}]},
        "inside": {
            **whole, "key": "inside", "fallthrough": {"variation": 0}, "rules": [{"id": "r", "clauses": [inside], "variation": 1}]
        },
    }  # fmt: skip
    share = {"id": "one", "clauses": [clause], "weight": 20_000, "bucketBy": "company"}
    segment = {"key": "some", "version": 1, "included": [], "excluded": [], "rules": [share], "salt": "s"}
    everything: Any = {FEATURES: {name: FeatureFlag(each) for name, each in flags.items()}, SEGMENTS: {"some": Segment(segment)}}
    ld_client._config.feature_store.init(everything)
    ours = compiled_of(launchdarkly.read({"flags": flags, "segments": {"some": segment}}, "production", reshuffle=True))
    answers = set()
    for name in flags:
        for country in ("DE", "US"):
            wanted = ld_client.variation(name, Context.from_dict({"kind": "user", "key": "ann", "country": country}), None)
            assert ours.evaluate(name, None, "ann", {"country": country}).value == wanted, (name, country)
            answers.add((name, wanted))
    assert answers == {("rest", "C"), ("rule", "C"), ("rule", "A"), ("inside", "B"), ("inside", "A")}
