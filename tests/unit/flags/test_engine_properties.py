"""What holds for every flag that is accepted and every context there is."""

from __future__ import annotations

import math
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configkit.calls import Calls
from configkit.errors import InvalidDocumentError
from configkit.flags import bucketing
from configkit.flags.client import Flags
from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.conditions import OPERATORS
from configkit.flags.documents import document_of, flag_of
from configkit.flags.model import Flag
from configkit.flags.sets import FlagSets
from configkit.flags.snapshot import FlagSet

ATTRIBUTES = ("country", "age", "plan", "version", "ip", "targetingKey")
USUAL = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
numbers = st.integers(-1000, 1000) | st.floats(-1e6, 1e6, allow_nan=False)
times = st.datetimes().map(lambda moment: moment.isoformat() + "Z")
versions = st.tuples(*[st.integers(0, 30)] * 3).map(lambda parts: ".".join(map(str, parts)))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "equals": texts | numbers | st.booleans(),
    "in": texts | numbers | st.booleans(),
    **dict.fromkeys(("contains", "starts_with", "ends_with"), texts),
    **dict.fromkeys(("less_than", "less_or_equal", "greater_than", "greater_or_equal"), numbers),
    **dict.fromkeys(("before", "after"), times),
    **dict.fromkeys(("semver_equals", "semver_less_than", "semver_greater_than"), versions),
    "matches": st.sampled_from(("^a", "[0-9]+$", "(x|y)*z", ".")),
    "in_cidr": st.sampled_from(("10.0.0.0/8", "::1/128", "192.168.1.7")),
    "in_segment": st.just("segment"),
}
percentages = st.integers(0, 100_000).map(lambda thousandths: thousandths / 1000)


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> dict[str, Any]:
    """A condition of any kind."""
    negate = {"negate": True} if draw(st.booleans()) else {}
    if depth > 1 and draw(st.integers(0, 3)) == 0:
        group = draw(st.sampled_from(("all", "any")))
        return {group: draw(st.lists(conditions(depth - 1), min_size=1, max_size=3)), **negate}
    operator = draw(st.sampled_from(tuple(OPERATORS)))
    shown: dict[str, Any] = {"operator": operator, **negate}
    if operator != "in_segment":
        shown["attribute"] = draw(st.sampled_from(ATTRIBUTES))
    if operator != "exists":
        shown["values"] = draw(st.lists(VALUES[operator], min_size=1, max_size=2))
    return shown


@st.composite
def flags(draw: st.DrawFn) -> Flag:
    """Any flag, in the plain form or with variants."""
    with_variants = draw(st.booleans())
    fields: dict[str, Any] = {"is_enabled": draw(st.integers(0, 4)) > 0}
    names = ["on", "off"]
    if with_variants:
        names = draw(st.lists(st.sampled_from(("red", "green", "blue", "black")), min_size=1, max_size=4, unique=True))
        kind = draw(st.sampled_from((texts, numbers, st.booleans(), st.lists(numbers, max_size=2))))
        fields["variants"] = {name: draw(kind) for name in names}
        if draw(st.booleans()):
            fields["default_variant"] = draw(st.sampled_from(names))
        else:
            fields["split"] = draw(splits(names))
        if draw(st.booleans()):
            fields["off_variant"] = draw(st.sampled_from(names))
    else:
        fields["rollout_percentage"] = draw(percentages)
        fields["target_users"] = draw(st.lists(texts, max_size=3))
    fields["rules"] = draw(st.lists(rules(names), max_size=3))
    if draw(st.booleans()):
        begin, end = sorted((draw(times), draw(times)))
        fields["schedule"] = {"starts_at": begin, **({"ends_at": end} if begin != end else {})}
    if draw(st.booleans()):
        fields["prerequisites"] = [{"flag": "other", "variants": ["on"]}]
    for name in ("salt", "bucket_by"):
        if draw(st.integers(0, 3)) == 0:
            fields[name] = draw(texts)
    try:
        return Flag("f", "production", **fields)
    except InvalidDocumentError:  # too costly, say: what is refused is not what this is about
        return Flag("f", "production", is_enabled=True, rollout_percentage=draw(percentages))


@st.composite
def splits(draw: st.DrawFn, names: list[str]) -> list[dict[str, Any]]:
    weights = [draw(st.integers(0, 1000)) for _ in names[1:]] + [draw(st.integers(1, 1000))]
    return [{"variant": name, "weight": weight} for name, weight in zip(names, weights, strict=True)]


@st.composite
def rules(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {"conditions": draw(st.lists(conditions(), max_size=2))}
    if draw(st.booleans()):
        rule["variant"] = draw(st.sampled_from(names))
        if draw(st.booleans()):
            rule["percentage"] = draw(percentages)
    else:
        rule["split"] = draw(splits(names))
    if draw(st.integers(0, 3)) == 0:
        rule["bucket_by"] = draw(st.sampled_from(ATTRIBUTES))
    return rule


class Hostile:
    """Raises whatever is asked of it."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return Hostile
        raise RuntimeError


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.binary(max_size=4) | st.builds(Hostile),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
fitting = st.fixed_dictionaries(
    {},
    optional={
        "country": texts | anything,
        "age": numbers | anything,
        "version": versions | anything,
        "ip": st.sampled_from(("10.1.2.3", "::1", "::ffff:10.0.0.1", "nowhere")) | anything,
        "plan": st.lists(texts, max_size=40) | times | anything,
    },
)
contexts = st.none() | fitting | anything
users = st.none() | texts | st.integers() | anything


def set_of(flag: Flag) -> CompiledSet:
    segment = Flag("segment", "production", kind="segment", target_users=("a", "b"))
    other = Flag("other", "production", is_enabled=True, rollout_percentage=100)
    return compile_set(FlagSet("production", 1, {each.name: each for each in (flag, segment, other)}))


@given(flag=flags(), user=users, context=contexts, default=anything, now=st.floats(-1e10, 1e10))
@USUAL
def test_evaluation_never_raises_and_is_deterministic(flag: Flag, user: Any, context: Any, default: Any, now: float) -> None:
    compiled, again = set_of(flag), set_of(flag)
    one = compiled.evaluate("f", None, user, context, now=now)
    for other in (compiled.evaluate("f", None, user, context, now=now), again.evaluate("f", None, user, context, now=now)):
        assert (other.variant, other.reason, other.error_code, other.rule) == (one.variant, one.reason, one.error_code, one.rule)
    assert (one.reason == "ERROR") is (one.error_code is not None)
    if one.variant is not None:
        assert one.value == flag.values[one.variant]
    answer = compiled.evaluate("f", default, user, context, now=now)
    assert answer.error_code in (one.error_code, "TYPE_MISMATCH")


@given(flag=flags(), user=users, context=contexts)
@USUAL
def test_the_librarys_quick_ways_answer_what_the_evaluation_does(flag: Flag, user: Any, context: Any) -> None:
    compiled = set_of(flag)

    class Store:
        def load(self, environment: str, known_version: int | None = None) -> FlagSet:
            return FlagSet("production", 1, compiled.flags)

    sets = FlagSets(Store(), Calls(workers=0))  # type: ignore[arg-type]
    sets.ensure("production")
    library = Flags(sets, "production")
    wanted = compiled.evaluate("f", None, user, context)
    for _ in range(2):
        found = library.evaluate("f", user_id=user, context=context)
        assert (found.variant, found.reason, found.error_code, found.rule) == (
            wanted.variant, wanted.reason, wanted.error_code, wanted.rule,
        )  # fmt: skip
        for fallback in (True, False):
            boolean = library.is_enabled("f", fallback, user_id=user, context=context)
            assert boolean is (wanted.value if isinstance(wanted.value, bool) else fallback)
        defaults: tuple[Any, ...] = ("none", 7, 7.5, True, [])
        for default in defaults:
            one = library.value("f", default, user_id=user, context=context)
            expected = compiled.evaluate("f", default, user, context).value
            assert (one, type(one)) == (expected, type(expected))


@given(flag=flags())
@USUAL
def test_a_flag_becomes_a_document_and_the_same_flag_again(flag: Flag) -> None:
    assert flag_of(document_of(flag)) == flag
    assert Flag(
        "f", "production", **{name: value for name, value in document_of(flag).items() if name in flag.extended()}
    ).extended() == (flag.extended())


@given(salt=texts, weights=st.lists(st.integers(1, 1000), min_size=2, max_size=5))
@settings(max_examples=20, deadline=None)
def test_shares_are_in_proportion_to_their_weights(salt: str, weights: list[int]) -> None:
    names = [f"v{number}" for number in range(len(weights))]
    split = [{"variant": name, "weight": weight} for name, weight in zip(names, weights, strict=True)]
    flag = Flag("f", "production", is_enabled=True, variants={name: name for name in names}, split=split, salt=salt)
    compiled, number = set_of(flag), 4000
    found = [compiled.evaluate("f", None, f"user-{each}").variant for each in range(number)]
    for name, weight in zip(names, weights, strict=True):
        share = weight / sum(weights)
        sigma = math.sqrt(number * share * (1 - share))
        assert abs(found.count(name) - number * share) <= 4 * sigma + 1


@given(salt=texts, key=texts, lower=percentages, higher=percentages)
@settings(max_examples=300, deadline=None)
def test_raising_a_percentage_moves_nobody_out(salt: str, key: str, lower: float, higher: float) -> None:
    lower, higher = sorted((lower, higher))

    def is_on(share: float) -> bool:
        return bool(
            set_of(Flag("f", "production", is_enabled=True, rollout_percentage=share, salt=salt)).evaluate("f", None, key).value
        )

    assert is_on(higher) or not is_on(lower)


@given(salt=texts, key=texts, total=st.integers(2, 2**31 - 1), data=st.data())
@settings(max_examples=200, deadline=None)
def test_raising_the_first_weight_at_a_fixed_total_moves_nobody_out_of_it(
    salt: str, key: str, total: int, data: st.DataObject
) -> None:
    lower, higher = sorted((data.draw(st.integers(1, total - 1)), data.draw(st.integers(1, total - 1))))

    def variant(first: int) -> str | None:
        split = [{"variant": "a", "weight": first}, {"variant": "b", "weight": total - first}]
        flag = Flag("f", "production", is_enabled=True, variants={"a": 1, "b": 2}, split=split, salt=salt)
        return set_of(flag).evaluate("f", None, key).variant

    assert variant(higher) == "a" or variant(lower) == "b"


def test_buckets_under_different_salts_have_nothing_to_do_with_each_other() -> None:
    chance, number = random.Random(5), 4000
    for _ in range(20):
        one, other = (f"salt-{chance.random()}" for _ in range(2))
        both = sum(bucketing.bucket(one, f"u{each}", 2) == bucketing.bucket(other, f"u{each}", 2) for each in range(number))
        assert abs(both - number / 2) <= 4 * math.sqrt(number / 4)
