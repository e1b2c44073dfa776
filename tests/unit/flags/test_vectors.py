"""The golden decisions, answered by the core and by the library."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from configkit.calls import Calls
from configkit.flags.client import Flags
from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.conditions import OPERATORS
from configkit.flags.hashing import Salt
from configkit.flags.model import Evaluation
from configkit.flags.sets import FlagSets
from configkit.flags.snapshot import FlagSet
from tests.flag_vectors import Decision, decisions, flag_set, same


@pytest.fixture
def compiled() -> CompiledSet:
    return compile_set(flag_set())


def test_the_core_decides_as_the_golden_data_says(compiled: CompiledSet) -> None:
    wrong = []
    for each in decisions():
        answer = compiled.evaluate(each.flag, each.default, each.user_id, each.context, now=each.now)
        if outcome(answer) != each.outcome or not same(answer.value, each.value):
            wrong.append((each, answer))
    assert wrong == []


def test_every_variant_that_is_served_is_counted_once(compiled: CompiledSet) -> None:
    for each in decisions():
        compiled.evaluate(each.flag, each.default, each.user_id, each.context, now=each.now)
    served = Counter((each.flag, each.variant) for each in decisions() if each.variant is not None)
    assert {which: tally.count for which, tally in compiled.tallies.items() if tally.count} == served


def test_what_was_asked_before_takes_the_short_way_and_is_counted(compiled: CompiledSet) -> None:
    for each in (each for each in decisions() if each.now is None and each.error_code != "TYPE_MISMATCH"):
        compiled.evaluate(each.flag, each.default, each.user_id, each.context)
        switch = compiled.switches.get(each.flag)
        if each.variant is None or not isinstance(each.value, bool):
            with pytest.raises(Exception):  # noqa: B017  whatever it likes
                switch(each.user_id, each.context)  # type: ignore[misc]
        elif is_plain(each):
            tally = compiled.tally(each.flag, each.variant)
            before = tally.count
            assert switch is not None
            assert switch(each.user_id, each.context) is each.value, each
            assert tally.count == before + 1, each


def is_plain(decision: Decision) -> bool:
    """Return whether the short way has to do: most calls are like that."""
    attributes = (decision.context or {}).values()
    return type(decision.user_id) is str and len(decision.user_id) < 200 and all(type(each) in (str, int) for each in attributes)


def test_user_ids_of_a_length_that_was_seen_are_hashed_without_a_call(
    compiled: CompiledSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [each for each in decisions() if each.now is None and each.reason == "SPLIT" and is_plain(each)]
    asked = [each for each in asked if not isinstance((each.context or {}).get("org"), int)]  # whose text takes a call
    for each in asked:
        compiled.evaluate(each.flag, None, each.user_id, each.context)
    monkeypatch.delattr(Salt, "_hash_of_any")
    assert [each for each in asked if compiled.evaluate(each.flag, None, each.user_id, each.context).value != each.value] == []
    monkeypatch.delattr(Salt, "hash_of")
    by_user = [each for each in asked if each.flag in ("pct.half", "split", "edge.two", "edge.five", "rule.texts")]
    assert [each for each in by_user if compiled.evaluate(each.flag, None, each.user_id, each.context).value != each.value] == []


def outcome(answer: Evaluation) -> tuple[Any, ...]:
    return answer.value, answer.variant, answer.reason, answer.error_code, answer.rule


class OneSet:
    """A store that holds the golden flags and answers loads only."""

    def load(self, environment: str, known_version: int | None = None) -> FlagSet:
        return flag_set()


@pytest.fixture
def flags() -> Flags:
    return library()


def library() -> Flags:
    """Return the library over the golden flags."""
    sets = FlagSets(OneSet(), Calls(workers=0))  # type: ignore[arg-type]
    sets.ensure("production")
    return Flags(sets, "production")


def test_the_library_decides_as_the_golden_data_says(flags: Flags) -> None:
    wrong = []
    for each in (each for each in decisions() if each.now is None):
        asked = {"user_id": each.user_id, "context": each.context}
        for _ in range(2):  # the first time a flag is compiled
            answer = flags.evaluate(each.flag, each.default, **asked)
            value = flags.value(each.flag, each.default, **asked)
            if outcome(answer) != each.outcome or not same(answer.value, each.value) or not same(value, each.value):
                wrong.append((each, answer, value))
            if isinstance(each.default, bool | None):
                wanted = each.value if isinstance(each.value, bool) else bool(each.default)
                if flags.is_enabled(each.flag, bool(each.default), **asked) is not wanted:
                    wrong.append((each, answer, not wanted))
    assert wrong == []


def test_every_operator_is_in_the_golden_data() -> None:
    def operators(conditions: object) -> set[str]:
        found: set[str] = set()
        for each in conditions if isinstance(conditions, list) else []:
            found |= {each["operator"]} if "operator" in each else operators(each.get("all", each.get("any")))
        return found

    rules = [rule for flag in flag_set().flags.values() for rule in flag.rules]
    assert set().union(*(operators(rule["conditions"]) for rule in rules)) == set(OPERATORS)


def test_the_golden_flags_are_written_as_they_are_read() -> None:
    for flag in flag_set().flags.values():
        assert replace(flag) == flag
