"""
How a configuration value lies in a secret's fields.

The field `value` is always a string: text as it is, anything else as JSON text with `value_type: "json"`, since Vault reads
numbers as floats. Beside it lie `is_encrypted`, `changed_by` and `comment`. What other programs wrote is read too: a lone
`value` field is that string, anything else is one object. No mark means secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from configkit import values
from configkit.names import check_text
from configkit.values import JsonValue

OWN_FIELDS = frozenset(("value", "value_type", "is_encrypted", "changed_by", "comment"))
JSON_TYPE = "json"

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Content:
    """
    What a secret's fields say.

    Attributes:
        is_foreign: Another program wrote it, as fields that configkit would not write.
    """

    value: JsonValue = field(repr=False)
    is_encrypted: bool
    changed_by: str | None = None
    comment: str | None = None
    is_foreign: bool = False


def decoded(text: str, value_type: object) -> JsonValue:
    """Return the value; text that is not the JSON it claims to be (somebody edited it by hand) is that text."""
    if value_type != JSON_TYPE:
        return text
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    return text if value is None else value


@dataclass(frozen=True, slots=True)
class Draft:
    """A value on its way into a secret's fields: its text, and what is kept beside it."""

    text: str = field(repr=False)
    value_type: str | None
    is_encrypted: bool
    changed_by: str
    comment: str | None

    @classmethod
    def of(cls, value: JsonValue, *, is_encrypted: bool, changed_by: str, comment: str | None) -> Draft:
        """
        Return the draft of *value*.

        Raises:
            InvalidDocumentError: It is no value, or the comment no text of at most 1024 characters.
        """
        if comment is not None:
            check_text(comment, limit=1024, pointer="/comment")
        text = values.encode(value)
        if isinstance(value, str):
            return cls(value, None, is_encrypted, changed_by, comment)
        return cls(text, JSON_TYPE, is_encrypted, changed_by, comment)

    def fields(self) -> Fields:
        """Return the fields of the secret."""
        kept: Fields = {"value": self.text, "is_encrypted": self.is_encrypted, "changed_by": self.changed_by}
        if self.value_type is not None:
            kept["value_type"] = self.value_type
        if self.comment is not None:
            kept["comment"] = self.comment
        return kept


def content(found: Mapping[str, Any]) -> Content:
    """Return what a secret's fields say, whoever wrote them."""
    value = found.get("value")
    if not isinstance(value, str) or not OWN_FIELDS.issuperset(found):
        return Content(dict(found), is_encrypted=True, is_foreign=True)
    return Content(
        decoded(value, found.get("value_type")),
        is_encrypted=found.get("is_encrypted") not in (False, "false"),
        changed_by=_text(found.get("changed_by")),
        comment=_text(found.get("comment")),
    )


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None


def _refuse(constant: str) -> None:
    raise ValueError(constant)
