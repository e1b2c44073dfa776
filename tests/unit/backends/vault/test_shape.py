"""The fields of a secret: what configkit writes, and what it makes of what others wrote."""

from __future__ import annotations

from typing import Any

import pytest

from configkit.backends.vault.shape import Content, Draft, content
from configkit.errors import InvalidDocumentError


def fields(value: Any, **changes: Any) -> dict[str, Any]:
    return Draft.of(value, **{"is_encrypted": False, "changed_by": "ann", "comment": None, **changes}).fields()


def test_text_lies_there_as_it_is() -> None:
    assert fields("/models/asr") == {"value": "/models/asr", "is_encrypted": False, "changed_by": "ann"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(45, "45"), (2**60, "1152921504606846976"), (True, "true"), (1.0, "1.0"), ([1, {"a": None}], '[1,{"a":null}]')],
)
def test_anything_else_lies_there_as_json_text_and_says_so(value: Any, text: str) -> None:
    kept = fields(value, is_encrypted=True, comment="why")
    assert kept == {"value": text, "value_type": "json", "is_encrypted": True, "changed_by": "ann", "comment": "why"}
    assert content(kept) == Content(value, is_encrypted=True, changed_by="ann", comment="why")


def test_text_that_looks_like_json_stays_text() -> None:
    for text in ("45", "null", '{"a":1}'):
        assert content(fields(text)).value == text


@pytest.mark.parametrize(
    "marked", [{}, {"is_encrypted": True}, {"is_encrypted": "true"}, {"is_encrypted": None}, {"is_encrypted": 0.5}]
)
def test_no_mark_or_any_other_than_false_means_secret(marked: dict[str, Any]) -> None:
    assert content({"value": "hand-written", **marked}).is_encrypted is True


@pytest.mark.parametrize("mark", [False, "false"])
def test_a_mark_set_by_hand_on_the_command_line_is_a_mark(mark: Any) -> None:
    assert content({"value": "hand-written", "is_encrypted": mark}).is_encrypted is False


def test_a_lone_value_field_of_another_program_is_that_string() -> None:
    assert content({"value": "s3cret"}) == Content("s3cret", is_encrypted=True)


@pytest.mark.parametrize(
    "found", [{"user": "app", "password": "s3cret"}, {"password": "s3cret"}, {"value": 5}, {"value": "a", "more": "b"}, {}]
)
def test_anything_else_of_another_program_is_one_secret_object(found: dict[str, Any]) -> None:
    assert content(found) == Content(found, is_encrypted=True, is_foreign=True)


@pytest.mark.parametrize("text", ["hello", "{", "NaN", "null", "[" * 100_000])
def test_text_edited_by_hand_that_is_no_json_is_that_text(text: str) -> None:
    assert content({"value": text, "value_type": "json", "is_encrypted": False}).value == text


def test_author_and_comment_of_a_wrong_type_are_not_shown() -> None:
    found = content({"value": "a", "changed_by": 5, "comment": ["x"]})
    assert (found.changed_by, found.comment) == (None, None)


def test_a_draft_and_what_was_read_show_no_value() -> None:
    assert "canary" not in repr(Draft.of("canary", is_encrypted=True, changed_by="ann", comment=None))
    assert "canary" not in repr(content({"value": "canary"}))


def test_a_comment_that_is_too_long_is_no_draft() -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        fields("a", comment="x" * 1025)
    assert caught.value.pointer == "/comment"
