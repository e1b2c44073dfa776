"""What maps is mapped, what does not is named with its place, and nothing that a file can hold breaks reading it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configkit.errors import InvalidDocumentError
from configkit.flags.imports import flagd, launchdarkly, native, unleash
from configkit.flags.imports.findings import Imported
from configkit.flags.imports.plan import CHANGED, NEW, SAME, planned
from configkit.flags.model import Flag
from tests.flag_vectors import flag_set

HERE = "production"

FLAGD: dict[str, Any] = {
    "flags": {
        "theme": {
            "state": "ENABLED",
            "variants": {"light": "#fff", "dark": "#000"},
            "defaultVariant": "light",
            "targeting": {
                "if": [
                    {"and": [{"$ref": "staff"}, {"<": [{"var": "age"}, 30]}]},
                    {"fractional": [["light", 3], ["dark", 1]]},
                    {"sem_ver": [{"var": "app"}, ">=", "2.0.0"]},
                    "dark",
                ]
            },
        }
    },
    "$evaluators": {"staff": {"ends_with": [{"var": "email"}, "@example.com"]}},
}
UNLEASH: dict[str, Any] = {
    "features": [{"name": "parent"}, {"name": "checkout", "description": "The new one"}],
    "featureEnvironments": [
        {"featureName": "parent", "environment": "production", "enabled": True},
        {"featureName": "checkout", "environment": "production", "enabled": True},
        {"featureName": "checkout", "environment": "staging", "enabled": False},
    ],
    "featureStrategies": [
        {
            "featureName": "checkout",
            "strategyName": "flexibleRollout",
            "sortOrder": 2,
            "parameters": {"rollout": "25", "stickiness": "company", "groupId": "checkout-group"},
            "constraints": [{"contextName": "country", "operator": "NOT_IN", "values": ["US"]}],
            "segments": [7],
        },
        {"featureName": "checkout", "strategyName": "userWithId", "sortOrder": 1, "parameters": {"userIds": "u1,u2"}},
    ],
    "featureTags": [{"featureName": "checkout", "tagType": "simple", "tagValue": "web"}],
    "dependencies": [{"feature": "checkout", "dependencies": [{"feature": "parent"}]}],
    "segments": [
        {"id": 7, "name": "Big customers", "constraints": [{"contextName": "seats", "operator": "NUM_GT", "value": "100"}]}
    ],
}
LAUNCHDARKLY: dict[str, Any] = {
    "items": [
        {
            "key": "banner",
            "description": "Which banner",
            "tags": ["web"],
            "variations": [{"value": "a", "name": "A"}, {"value": "b"}],
            "environments": {
                "production": {
                    "on": True,
                    "targets": [{"values": ["u1", "u2"], "variation": 0}, {"values": ["u2", "u3"], "variation": 1}],
                    "rules": [
                        {
                            "clauses": [{"attribute": "country", "op": "in", "values": ["DE"], "negate": True}],
                            "rollout": {
                                "variations": [{"variation": 0, "weight": 60_000}, {"variation": 1, "weight": 40_000}],
                                "bucketBy": "company",
                            },
                        },
                        {"clauses": [{"op": "segmentMatch", "values": ["beta"]}], "variation": 1},
                    ],
                    "fallthrough": {"variation": 0},
                    "offVariation": 1,
                }
            },
        }
    ],
    "segments": [{"key": "beta", "included": ["u7"], "excluded": ["u8"], "rules": []}],
}
READERS: dict[str, tuple[Callable[..., Imported], dict[str, Any]]] = {
    "flagd": (flagd.read, FLAGD),
    "unleash": (unleash.read, UNLEASH),
    "launchdarkly": (launchdarkly.read, LAUNCHDARKLY),
    "configkit": (native.read, native.document(HERE, flag_set().flags.values())),
}


def only(imported: Imported, name: str) -> Flag:
    assert imported.refusals == ()
    return next(flag for flag in imported.flags if flag.name == name)


def refused(imported: Imported) -> list[tuple[str, str]]:
    return [(refusal.flag, refusal.pointer) for refusal in imported.refusals]


def test_a_flag_of_flagd() -> None:
    flag = only(flagd.read(FLAGD, HERE), "theme")
    assert (flag.default_variant, [rule.get("variant") or rule["split"] for rule in flag.rules]) == (
        "light",
        [[{"variant": "light", "weight": 3}, {"variant": "dark", "weight": 1}], "dark"],
    )


def test_a_flag_of_unleash() -> None:
    imported = unleash.read(UNLEASH, HERE, reshuffle=True, source="production")
    flag = only(imported, "checkout")
    assert [rule["name"] for rule in flag.rules] == ["strategy-1", "strategy-2"]
    share = flag.rules[1]
    assert (share["percentage"], share["bucket_by"], share["salt"]) == (25, "company", "checkout-group")
    assert flag.prerequisites == ({"flag": "parent", "variants": ["on"]},)
    assert (flag.tags, flag.description) == (("web",), "The new one")
    assert only(imported, "Big-customers").kind == "segment"
    assert {note.flag for note in imported.notes} == {"checkout", "Big-customers"}
    assert not only(unleash.read(UNLEASH, HERE, reshuffle=True, source="staging"), "checkout").is_enabled


def test_a_flag_of_launchdarkly() -> None:
    imported = launchdarkly.read(LAUNCHDARKLY, HERE, reshuffle=True)
    flag = only(imported, "banner")
    assert flag.variants == {"v0": "a", "v1": "b"}
    assert flag.targets == {"v0": ("u1", "u2"), "v1": ("u3",)}
    assert flag.rules[0]["bucket_by"] == "company"
    assert (flag.off_variant, flag.default_variant, flag.tags) == ("v1", "v0", ("web",))
    segment = only(imported, "beta")
    assert (segment.target_users, segment.targets) == (("u7",), {"off": ("u8",)})


@pytest.mark.parametrize("name", ["unleash", "launchdarkly"])
def test_a_share_whose_users_would_change_is_refused_until_that_is_accepted(name: str) -> None:
    read, document = READERS[name]
    source = "production" if name == "unleash" else None
    imported = read(document, HERE, source=source)
    assert ["--reshuffle" in refusal.reason for refusal in imported.refusals] == [True]
    assert read(document, HERE, source=source, reshuffle=True).refusals == ()


def test_which_environment_is_read_has_to_be_said_where_there_are_several() -> None:
    with pytest.raises(InvalidDocumentError, match="production, staging"):
        unleash.read(UNLEASH, HERE)
    for read, document in (READERS["unleash"], READERS["launchdarkly"]):
        with pytest.raises(InvalidDocumentError, match=r"prod is not among them.*production"):
            read(document, HERE, source="prod")
    several = copy.deepcopy(LAUNCHDARKLY)
    several["items"][0]["environments"]["test"] = {}
    with pytest.raises(InvalidDocumentError, match="production, test"):
        launchdarkly.read(several, HERE)


FRACTION = ["fractional", {"var": "email"}]
TARGETING: list[tuple[Any, str]] = [
    ({"if": [{"==": [{"var": "age"}, 5]}, "light"]}, "/targeting/if/0/=="),
    ({"if": [{"missing": ["a"]}, "light"]}, "/targeting/if/0/missing"),
    ({"if": [{"==": [{"var": "a.b"}, "x"]}, "light"]}, "/targeting/if/0/==/0/var"),
    ({"if": [{"sem_ver": [{"var": "app"}, "^", "2.0.0"]}, "light"]}, "/targeting/if/0/sem_ver"),
    ({"if": [{"$ref": "nothing"}, "light"]}, "/targeting/if/0/$ref"),
    ({"if": [{"in": [{"var": "a"}, ["x"]]}, "purple"]}, "/targeting/if/1"),
    ({"fractional": [{"var": "email"}, ["light", 1], ["dark", 1]]}, "/targeting/fractional/0"),
    ({"fractional": [["light", 0.5], ["dark", 1]]}, "/targeting/fractional/0"),
    ({"fractional": [["light", 1], ["light", 1]]}, "/targeting/fractional"),
]


@pytest.mark.parametrize(("targeting", "pointer"), TARGETING, ids=str)
def test_what_flagd_can_and_this_cannot_is_named(targeting: Any, pointer: str) -> None:
    document = copy.deepcopy(FLAGD)
    document["flags"]["theme"]["targeting"] = targeting
    document["flags"]["good"] = {"state": "DISABLED", "variants": {"a": 1}, "defaultVariant": "a"}
    imported = flagd.read(document, HERE)
    assert refused(imported) == [("theme", pointer)]
    assert [flag.name for flag in imported.flags] == ["good"]


STRATEGIES: list[tuple[dict[str, Any], str]] = [
    ({"name": "applicationHostname", "parameters": {}}, "/strategies/0/name"),
    ({"name": "default", "variants": [{"name": "a", "weight": 1000}]}, "/strategies/0/variants"),
    ({"name": "flexibleRollout", "parameters": {"rollout": "5", "stickiness": "random"}}, "/strategies/0/parameters/stickiness"),
    ({"name": "flexibleRollout", "parameters": {"rollout": "x"}}, "/strategies/0/parameters/rollout"),
    ({"name": "default", "segments": [1]}, "/strategies/0/segments/0"),
    ({"name": "default", "constraints": [{"contextName": "appName", "operator": "IN", "values": ["a"]}]}, "/strategies/0/constraints/0/contextName"),
    ({"name": "default", "constraints": [{"contextName": "a", "operator": "REGEX", "value": "a"}]}, "/strategies/0/constraints/0/operator"),
]  # fmt: skip


@pytest.mark.parametrize(("strategy", "pointer"), STRATEGIES, ids=str)
def test_what_unleash_can_and_this_cannot_is_named(strategy: dict[str, Any], pointer: str) -> None:
    document = {"version": 2, "features": [{"name": "f", "enabled": True, "strategies": [strategy]}]}
    assert refused(unleash.read(document, HERE, reshuffle=True)) == [("f", pointer)]


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"archived": True}, "/archived"),
    ({"on": None}, "/on"),
    ({"fallthrough": {"variation": 7}}, "/fallthrough/variation"),
    ({"rules": [{"clauses": [{"attribute": "a", "op": "before", "values": [1]}], "variation": 0}]}, "/rules/0/clauses/0/op"),
    ({"rules": [{"clauses": [{"attribute": "a", "op": "in", "values": [1], "contextKind": "org"}], "variation": 0}]},
     "/rules/0/clauses/0/contextKind"),
    ({"rules": [{"clauses": [{"attribute": "/a/b", "op": "in", "values": [1], "contextKind": "user"}], "variation": 0}]},
     "/rules/0/clauses/0/attribute"),
    ({"contextTargets": [{"contextKind": "org", "values": ["x"], "variation": 0}]}, "/contextTargets/0/contextKind"),
    ({"prerequisites": [{"key": "nothing", "variation": 0}]}, "/prerequisites/0/variation"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "pointer"), CHANGES, ids=str)
def test_what_launchdarkly_can_and_this_cannot_is_named(change: dict[str, Any], pointer: str) -> None:
    flag = {"on": True, "variations": [True, False], "fallthrough": {"variation": 0}, "offVariation": 1}
    assert refused(launchdarkly.read({"flags": {"f": {**flag, **change}}}, HERE)) == [("f", pointer)]


def test_values_alone_are_flags_too() -> None:
    imported = launchdarkly.read({"flagValues": {"a": True, "b": False, "c": "text"}}, HERE)
    assert [(flag.name, flag.rollout_percentage, flag.variants) for flag in imported.flags] == [
        ("a", 100, None),
        ("b", 0, None),
        ("c", 0, {"v0": "text"}),
    ]


def test_flags_go_out_and_come_back_as_they_were() -> None:
    flags = flag_set().flags
    document = json.loads(json.dumps(native.document(HERE, flags.values())))
    imported = native.read(document, HERE)
    assert imported.refusals == ()
    back = {flag.name: flag for flag in imported.flags}
    assert back == {name: replace(flag, version=0, created_at=None, updated_at=None) for name, flag in flags.items()}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("document", [None, 5, "x", [], {}, {"flags": 5}, {"features": {}}, {"items": 5}], ids=str)
def test_what_is_no_such_document_at_all_is_said(name: str, document: Any) -> None:
    with pytest.raises(InvalidDocumentError):
        READERS[name][0](document, HERE)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8
)


def _places(document: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    return [way] * bool(way) + [place for key, each in inner for place in _places(each, (*way, key))]


@pytest.mark.parametrize("name", ["flagd", "unleash", "launchdarkly"])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_is_in_a_document_reading_it_names_what_is_wrong(name: str, data: st.DataObject) -> None:
    read, whole = READERS[name]
    document = copy.deepcopy(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        places = _places(document)
        if not places:
            break
        *way, last = data.draw(st.sampled_from(places))
        holder = document
        for key in way:
            holder = holder[key]
        if data.draw(st.booleans()):
            holder[last] = data.draw(JSON)
        else:
            del holder[last]
    try:
        imported = read(document, HERE, reshuffle=data.draw(st.booleans()))
    except InvalidDocumentError:
        return
    plan = planned(imported, {})
    assert all(step.kind == NEW for step in plan.steps)
    assert all(refusal.reason for refusal in plan.refusals)


WRONG: list[Any] = [None, True, 5, "x", [], {}, [None], [5], {"x": None}, [[]], [{}]]


@pytest.mark.parametrize("name", ["flagd", "unleash", "launchdarkly"])
def test_each_place_of_a_document_may_hold_anything(name: str) -> None:
    read, whole = READERS[name]
    for way in _places(whole):
        for wrong in WRONG:
            document = copy.deepcopy(whole)
            holder = document
            for key in way[:-1]:
                holder = holder[key]
            holder[way[-1]] = wrong
            with suppress(InvalidDocumentError):
                planned(read(document, HERE, reshuffle=True), {})


def test_what_would_be_done_is_told_field_by_field() -> None:
    imported = flagd.read(FLAGD, HERE)
    there = replace(imported.flags[0], version=4)
    assert [step.kind for step in planned(imported, {"theme": there}).steps] == [SAME]
    changed = planned(imported, {"theme": replace(there, description="d", rules=())})
    assert [(step.kind, step.fields) for step in changed.steps] == [(CHANGED, ("description", "rules"))]


def test_a_flag_that_needs_what_is_not_there_is_refused_with_it() -> None:
    document = copy.deepcopy(UNLEASH)
    document["features"] = document["features"][1:]
    imported = unleash.read(document, HERE, reshuffle=True, source="production")
    assert [(each.flag, each.pointer) for each in planned(imported, {}).refusals] == [("checkout", "/prerequisites/0/flag")]
    present = {"parent": Flag("parent", HERE)}
    assert planned(imported, present).refusals == ()
