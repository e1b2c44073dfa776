import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.model import CHANGEABLE, Evaluation, Flag
from configkit.flags.snapshot import FlagSet
from configkit.flags.targeting import targeting_key

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "flags.json").read_text(encoding="utf-8"))
LONE_SURROGATE = "\ud800"

percentages = st.integers(0, 100_000).map(lambda thousandths: thousandths / 1000)
user_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
storable_users = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)
anything: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=20), st.just(LONE_SURROGATE), st.just(object()),
    st.just(10**5000), st.just("x" * 1025), st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)  # fmt: skip


def compiled_of(*flags: Flag, version: int = 9) -> CompiledSet:
    return compile_set(FlagSet("production", version, {flag.name: flag for flag in flags}))


def flag(**fields: Any) -> Flag:
    return Flag(**{"name": "f", "environment": "production", "is_enabled": True, "version": 3, **fields})


@pytest.mark.parametrize(
    "vector", VECTORS["evaluations"], ids=lambda each: f"{each['flag_name'][:12]}-{ascii(each['user_id'])[:12]}-{each['default']}"
)
def test_golden_evaluations(vector: dict[str, Any]) -> None:
    flags = {each["name"]: Flag(**each) for each in VECTORS["flags"]}
    compiled = compile_set(FlagSet(VECTORS["environment"], VECTORS["version"], flags))
    answer = asdict(compiled.evaluate(vector["flag_name"], vector["default"], vector["user_id"]))
    assert {field: answer[field] for field in vector["expected"]} == vector["expected"]


@pytest.mark.parametrize("unusable", ["x" * 1025, LONE_SURROGATE, True, 1.5, b"u1", ["u1"], 10**5000], ids=range(7))
def test_what_cannot_be_a_user_id_is_an_invalid_context_where_a_bucket_is_needed(unusable: object) -> None:
    answer = compiled_of(flag(rollout_percentage=50)).evaluate("f", True, unusable)
    assert answer == Evaluation("f", "production", True, None, "ERROR", 3, "INVALID_CONTEXT")


@pytest.mark.parametrize("unusable", ["x" * 1025, LONE_SURROGATE, True, None, ""])
@pytest.mark.parametrize(("percentage", "reason"), [(0, "DEFAULT"), (100, "STATIC")])
def test_an_unusable_user_id_does_not_matter_where_nobody_needs_it(unusable: object, percentage: float, reason: str) -> None:
    for users in ((), ("u1",)):
        answer = compiled_of(flag(rollout_percentage=percentage, target_users=users)).evaluate("f", None, unusable)
        assert (answer.value, answer.reason) == (percentage == 100, reason)


def test_a_targeted_user_beats_the_rollout_but_not_the_switch() -> None:
    targeted = flag(target_users=("u1",), rollout_percentage=0)
    assert compiled_of(targeted).evaluate("f", False, "u1").reason == "TARGETING_MATCH"
    assert compiled_of(targeted.with_changes({"is_enabled": False})).evaluate("f", True, "u1").value is False


def test_the_default_does_not_turn_a_disabled_flag_on() -> None:
    answer = compiled_of(flag(is_enabled=False, rollout_percentage=100)).evaluate("f", True, "u1")
    assert (answer.value, answer.variant, answer.reason, answer.error_code) == (False, "off", "DISABLED", None)


def test_a_stale_set_decides_the_same_and_says_so() -> None:
    fresh = compiled_of(flag(rollout_percentage=50))
    stale = fresh.marked(stale=True)
    for user in ("u1", "u2", "u3", "u4"):
        answer = stale.evaluate("f", False, user)
        assert (answer.value, answer.reason) == (fresh.evaluate("f", False, user).value, "STALE")
    assert stale.evaluate("f", False, None).error_code == "TARGETING_KEY_MISSING"
    assert stale.marked(stale=False).evaluate("f", False, "u1").reason == "SPLIT"


def test_all_flags_or_the_named_ones_are_evaluated_at_once() -> None:
    compiled = compiled_of(flag(rollout_percentage=100), flag(name="g", is_enabled=False))
    assert {name: each.value for name, each in compiled.evaluate_all("u1").items()} == {"f": True, "g": False}
    assert {name: each.error_code for name, each in compiled.evaluate_all("u1", names=["f", "h"]).items()} == {
        "f": None, "h": "FLAG_NOT_FOUND",
    }  # fmt: skip


def test_changes_are_named_and_what_did_not_change_is_not_compiled_again() -> None:
    before = compiled_of(flag(), flag(name="g"), flag(name="gone"))
    decided = before.evaluate("f")
    loaded = FlagSet("production", 10, {"f": flag(), "g": flag(name="g", rollout_percentage=5), "new": flag(name="new")})
    after = compile_set(loaded, before)
    assert after.changes_from(before) == {"g", "gone", "new"}
    assert after.evaluate("f") is decided


def test_the_flags_of_a_set_cannot_be_changed() -> None:
    compiled = compiled_of(flag())
    with pytest.raises(TypeError):
        compiled.flags["g"] = flag(name="g")  # type: ignore[index]


@given(percentage=percentages, user=user_texts, users=st.lists(storable_users, max_size=3))
@settings(max_examples=100, deadline=None)
def test_evaluation_is_deterministic(percentage: float, user: str, users: list[str]) -> None:
    made = flag(rollout_percentage=percentage, target_users=tuple(users))
    assert compiled_of(made).evaluate("f", False, user) == compiled_of(made).evaluate("f", False, user)


@given(percentage=percentages, more=percentages, users=st.lists(user_texts, min_size=1, max_size=50))
@settings(max_examples=100, deadline=None)
def test_raising_a_percentage_never_takes_a_flag_from_anybody(percentage: float, more: float, users: list[str]) -> None:
    low, high = (compiled_of(flag(rollout_percentage=each)) for each in sorted((percentage, more)))
    for user in users:
        assert low.evaluate("f", False, user).value <= high.evaluate("f", False, user).value


@given(user_id=anything, context=anything, default=anything, name=st.one_of(st.just("f"), anything), percentage=percentages)
@settings(max_examples=300, deadline=None)
def test_evaluation_never_raises(user_id: Any, context: Any, default: Any, name: Any, percentage: float) -> None:
    answer = compiled_of(flag(rollout_percentage=percentage, target_users=("u1",))).evaluate(name, default, user_id, context)
    assert (answer.error_code is None) == (answer.reason != "ERROR") == (answer.variant is not None)
    if answer.error_code:
        assert answer.value is default


@given(number=st.integers(-(10**20), 10**20))
def test_an_int_is_its_decimal_text(number: int) -> None:
    assert targeting_key(number) == str(number)
    compiled = compiled_of(flag(rollout_percentage=50, target_users=(str(number),)))
    assert compiled.evaluate("f", False, number).reason == "TARGETING_MATCH"


@given(percentage=percentages, users=st.lists(storable_users, max_size=3), enabled=st.booleans())
@settings(max_examples=100, deadline=None)
def test_the_plain_form_comes_back_as_it_was(percentage: float, users: list[str], enabled: bool) -> None:
    made = flag(rollout_percentage=percentage, target_users=users, is_enabled=enabled, description="d")
    plain = json.loads(json.dumps({field: getattr(made, field) for field in CHANGEABLE}))
    assert Flag("f", "production", version=3).with_changes(plain) == made
