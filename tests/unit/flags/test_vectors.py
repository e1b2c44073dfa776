"""The golden decisions, answered by the core and by the library."""

from __future__ import annotations

from dataclasses import replace

import pytest

from configkit.calls import Calls
from configkit.flags.client import Flags
from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.conditions import OPERATORS
from configkit.flags.model import FlagSet
from configkit.flags.sets import FlagSets
from tests.flag_vectors import Decision, decisions, flag_set, same


@pytest.fixture(scope="module")
def compiled() -> CompiledSet:
    return compile_set(flag_set())


@pytest.mark.parametrize("decision", decisions(), ids=str)
def test_the_core_decides_as_the_golden_data_says(compiled: CompiledSet, decision: Decision) -> None:
    answer = compiled.evaluate(decision.flag, decision.default, decision.user_id, decision.context, now=decision.now)
    found = (answer.value, answer.variant, answer.reason, answer.error_code, answer.rule)
    assert found == decision.outcome, decision.why
    assert same(answer.value, decision.value)


class OneSet:
    """A store that holds the golden flags and answers loads only."""

    def load(self, environment: str, known_version: int | None = None) -> FlagSet:
        return flag_set()


@pytest.fixture(scope="module")
def flags() -> Flags:
    sets = FlagSets(OneSet(), Calls(workers=0))  # type: ignore[arg-type]
    sets.ensure("production")
    return Flags(sets, "production")


@pytest.mark.parametrize("decision", [each for each in decisions() if each.now is None], ids=str)
def test_the_library_decides_as_the_golden_data_says(flags: Flags, decision: Decision) -> None:
    asked = {"user_id": decision.user_id, "context": decision.context}
    for _ in range(2):  # the first time a flag is compiled
        answer = flags.evaluate(decision.flag, decision.default, **asked)
        assert (answer.value, answer.variant, answer.reason, answer.error_code, answer.rule) == decision.outcome, decision.why
        assert same(flags.value(decision.flag, decision.default, **asked), decision.value)
        if isinstance(decision.default, bool | None):
            wanted = decision.value if isinstance(decision.value, bool) else bool(decision.default)
            assert flags.is_enabled(decision.flag, bool(decision.default), **asked) is wanted


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
