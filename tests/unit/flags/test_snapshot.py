"""Sets of flags that are made when somebody looks: the same as if all were made at once, but for those that cannot be."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from configkit.errors import InvalidDocumentError
from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.documents import document_of, flag_of, flags_of
from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagChanges, FlagMap, FlagSet, Unread
from tests.flag_vectors import flag_set

PRODUCTION = "production"


def document(name: str, version: int = 1, **fields: Any) -> dict[str, Any]:
    return json.loads(json.dumps(document_of(Flag(name, PRODUCTION, version=version, **fields))))  # type: ignore[no-any-return]


NEWER = document("newer", 3, is_enabled=True) | {
    "rules": [{"name": "later", "conditions": [{"attribute": "a", "operator": "telepathy"}], "variant": "on"}]
}


def loaded(*documents: dict[str, Any], version: int = 10) -> CompiledSet:
    return compile_set(FlagSet(PRODUCTION, version, flags_of(documents)))


def test_the_flags_are_those_that_the_documents_describe() -> None:
    flags = flag_set().flags
    made = flags_of([json.loads(json.dumps(document_of(flag))) for flag in flags.values()])
    assert made == flags
    assert list(made) == list(made.names) == list(flags)
    assert made.checksum == flags.checksum


def test_a_flag_is_made_once_and_when_it_is_looked_at() -> None:
    reads: list[str] = []

    def read(source: str) -> Flag:
        reads.append(source)
        return Flag(source, PRODUCTION, version=1)

    flags = FlagMap({name: Unread(1, read, name) for name in ("a", "b")})
    compiled = compile_set(FlagSet(PRODUCTION, 1, flags))
    assert (list(flags.names), flags.checksum, reads) == (["a", "b"], 2, [])
    assert compiled.evaluate("a").reason == "DISABLED"
    assert flags["a"] is flags["a"]
    assert reads == ["a"]


def test_a_flag_of_a_later_release_is_missing_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    needs = document("needs", 2, is_enabled=True, rollout_percentage=100, prerequisites=[{"flag": "newer", "variants": ["on"]}])
    compiled = loaded(document("good", 1, is_enabled=True, rollout_percentage=100), needs, NEWER)
    with caplog.at_level(logging.WARNING, logger="configkit"):
        for _ in range(2):
            found = compiled.evaluate("newer", "default")
            assert (found.value, found.reason, found.error_code) == ("default", "ERROR", "PARSE_ERROR")
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "flag 'newer' cannot be read, so callers get their defaults"
    ]
    assert compiled.evaluate("good").value is True
    assert compiled.evaluate("needs").value is False
    assert sorted(compiled.flags) == ["good", "needs"]
    assert "newer" in compiled.flags.names
    assert set(compiled.evaluate_all()) == {"good", "needs"}


def test_a_change_is_taken_over_beside_a_flag_that_cannot_be_read() -> None:
    before = flags_of([document("good"), NEWER])
    changed = flags_of([document("good", 11, is_enabled=True), document("more", 12)])
    become = FlagChanges(PRODUCTION, 10, 12, changed, frozenset(), 3, 11 + 12 + 3).applied_to(before)
    assert become is not None
    assert list(become.flags.names) == ["good", "newer", "more"]
    assert become.flags["good"].is_enabled
    assert not before["good"].is_enabled
    assert FlagChanges(PRODUCTION, 10, 12, changed, frozenset(["newer"]), 3, 0).applied_to(before) is None


@pytest.mark.parametrize("looked_at", [frozenset(), frozenset({"before"}), frozenset({"after"}), frozenset({"before", "after"})])
def test_what_differs_is_told_whether_or_not_anybody_has_looked(looked_at: frozenset[str]) -> None:
    names = ("same", "other", "sooner", "gone")
    before = flags_of([*(document(name) for name in names), NEWER])
    after = flags_of([document("same"), document("other", description="d"), document("sooner", 2), document("new", 4), NEWER])
    for flags, name in ((before, "before"), (after, "after")):
        if name in looked_at:
            assert flags
            assert all(flags.values())
    assert after.differing(before) == {"other", "sooner", "gone", "new"}


def test_flags_are_those_of_before_where_nothing_has_changed() -> None:
    first = loaded(document("a", is_enabled=True, rollout_percentage=100))
    first.evaluate("a")
    again = CompiledSet(FlagSet(PRODUCTION, 11, flags_of([document("a", is_enabled=True, rollout_percentage=100)])), previous=first)
    assert again.table["a"] is first.table["a"]


@pytest.mark.parametrize("bad", [None, 5, {}, {"name": "a"}, {"name": 1, "version": 1}, {"name": "a", "version": "1"}], ids=str)
def test_what_has_no_name_or_version_is_no_set_of_flags(bad: Any) -> None:
    with pytest.raises(InvalidDocumentError):
        flags_of([document("good"), bad])


def test_a_set_of_made_flags_is_the_same_as_one_of_documents() -> None:
    flag = flag_of(document("a", 5))
    assert FlagSet(PRODUCTION, 5, {"a": flag}) == FlagSet(PRODUCTION, 5, flags_of([document("a", 5)]))
    assert FlagSet(PRODUCTION, 5, {"a": replace(flag, version=4)}) != FlagSet(PRODUCTION, 5, {"a": flag})
