"""The golden decisions, answered by the core and by the library."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from configkit.calls import Calls
from configkit.flags.client import Flags
from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.conditions import OPERATORS
from configkit.flags.model import Evaluation
from configkit.flags.sets import FlagSets
from configkit.flags.snapshot import FlagSet
from tests.flag_vectors import decisions, flag_set, same


@pytest.fixture(scope="module")
def compiled() -> CompiledSet:
    return compile_set(flag_set())


def test_the_core_decides_as_the_golden_data_says(compiled: CompiledSet) -> None:
    wrong = []
    for each in decisions():
        answer = compiled.evaluate(each.flag, each.default, each.user_id, each.context, now=each.now)
        if outcome(answer) != each.outcome or not same(answer.value, each.value):
            wrong.append((each, answer))
    assert wrong == []


def outcome(answer: Evaluation) -> tuple[Any, ...]:
    return answer.value, answer.variant, answer.reason, answer.error_code, answer.rule


class OneSet:
    """A store that holds the golden flags and answers loads only."""

    def load(self, environment: str, known_version: int | None = None) -> FlagSet:
        return flag_set()


@pytest.fixture(scope="module")
def flags() -> Flags:
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
