"""
What a rule asks of a context, as a document, and how it is checked when it is written.

A condition is one of::

    {"attribute": "country", "operator": "in", "values": ["DE", "AT"], "negate": false}
    {"operator": "in_segment", "values": ["beta-testers"], "negate": false}
    {"all": [condition, ...], "negate": false}
    {"any": [condition, ...], "negate": false}

An attribute is a field of the evaluation context; ``targetingKey`` is the user id. Where the attribute is missing, or
its value is of another type than the operator is for, the condition does not hold, negated or not; only ``exists`` is
about that itself. Of a list in the context at least one item has to match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from configkit import names, values
from configkit.errors import InvalidDocumentError
from configkit.flags import limits

Document = dict[str, Any]


def check_conditions(given: object, pointer: str, limit: float) -> tuple[list[Document], float]:
    """
    Return *given* with everything in its place, and what it costs to decide.

    Raises:
        InvalidDocumentError: One breaks a rule, or together they cost more than *limit* microseconds.
    """
    checked, cost = _all_of(given, pointer, limits.MAX_DEPTH)
    if cost > limit:
        remedy = f"up to {cost:.0f} us to decide, and {limit:.0f} are allowed; use less of matches, semver_* and in_segment"
        raise InvalidDocumentError(remedy, pointer=pointer)
    return checked, cost


def _all_of(given: object, pointer: str, depth: int) -> tuple[list[Document], float]:
    checked, cost = [], 0.0
    for index, each in enumerate(listed(given, pointer, 1000)):
        one, its = _condition(each, f"{pointer}/{index}", depth)
        checked.append(one)
        cost += its
    return checked, cost


def _condition(given: object, pointer: str, depth: int) -> tuple[Document, float]:
    document = fields(given, pointer, {"attribute", "operator", "values", "negate", "all", "any"})
    if depth == 0:
        raise InvalidDocumentError(f"nested deeper than {limits.MAX_DEPTH} levels; use a segment", pointer=pointer)
    groups = [name for name in ("all", "any") if name in document]
    negated = _negated(document, pointer)
    if groups:
        if len(document.keys() - {"negate"}) > 1:
            raise InvalidDocumentError("either all, or any, or an operator", pointer=pointer)
        inner, cost = _all_of(document[groups[0]], f"{pointer}/{groups[0]}", depth - 1)
        if not inner:
            raise InvalidDocumentError("at least one condition", pointer=f"{pointer}/{groups[0]}")
        return {groups[0]: inner, **negated}, cost + 0.2
    return _plain(document, pointer, negated)


def _plain(document: Mapping[str, Any], pointer: str, negated: Document) -> tuple[Document, float]:
    operator = document.get("operator")
    check = OPERATORS.get(operator) if isinstance(operator, str) else None
    if check is None or not isinstance(operator, str):
        raise InvalidDocumentError(f"one of: {', '.join(OPERATORS)}", pointer=f"{pointer}/operator")
    shown: Document = {}
    if operator == "in_segment":
        if "attribute" in document:
            raise InvalidDocumentError("a segment looks at the whole context: leave it out", pointer=f"{pointer}/attribute")
    else:
        shown["attribute"] = names.check_text(document.get("attribute"), limit=256, pointer=f"{pointer}/attribute", empty=False)
    shown["operator"] = operator
    if operator == "exists":
        if "values" in document:
            raise InvalidDocumentError("exists compares with nothing: leave it out", pointer=f"{pointer}/values")
        return {**shown, **negated}, limits.COSTS[operator]
    given = listed(document.get("values"), f"{pointer}/values", limits.MAX_VALUES)
    if not given:
        raise InvalidDocumentError("a list of at least one value", pointer=f"{pointer}/values")
    shown["values"] = [check(value, f"{pointer}/values/{index}") for index, value in enumerate(given)]
    many = 1 if operator in _AT_ONCE else len(given)
    return {**shown, **negated}, limits.COSTS[operator] * many


def _negated(document: Mapping[str, Any], pointer: str) -> Document:
    negate = document.get("negate", False)
    if not isinstance(negate, bool):
        raise InvalidDocumentError("true or false", pointer=f"{pointer}/negate")
    return {"negate": True} if negate else {}


def segments_of(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the segments that *conditions* ask for, as often as they do."""
    found: list[str] = []
    for condition in conditions:
        if condition.get("operator") == "in_segment":
            found += condition["values"]
        found += segments_of(condition.get("all") or condition.get("any") or ())
    return found


# -- what an operator compares with ------------------------------------------------------------------------------------


def _scalar(value: object, pointer: str) -> Any:
    if isinstance(value, str):
        return _text(value, pointer, empty=True)
    if isinstance(value, bool | int | float):
        values.encode(value, pointer=pointer)
        return value
    raise InvalidDocumentError("a text, a number, true or false", pointer=pointer)


def _text(value: object, pointer: str, *, empty: bool = False) -> str:
    return names.check_text(value, limit=limits.MAX_TEXT, pointer=pointer, empty=empty)


def _number(value: object, pointer: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidDocumentError("a number", pointer=pointer)
    values.encode(value, pointer=pointer)
    return value


def _moment(value: object, pointer: str) -> str:
    return check_moment(value, pointer).isoformat()


def check_moment(value: object, pointer: str) -> datetime:
    """Return the time that *value* (RFC 3339 with a zone, or such a datetime) is, in UTC."""
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)  # type: ignore[arg-type]
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidDocumentError("a time with its zone, such as 2026-01-31T12:00:00Z", pointer=pointer)


def _version(value: object, pointer: str) -> str:
    from semver import Version  # noqa: PLC0415  only flags that compare versions need it

    text = _text(value, pointer)
    try:
        Version.parse(text)
    except ValueError:
        raise InvalidDocumentError("a semantic version, such as 1.4.0 or 2.0.0-rc.1", pointer=pointer) from None
    return text


def _pattern(value: object, pointer: str) -> str:
    text = names.check_text(value, limit=limits.MAX_PATTERN, pointer=pointer, empty=False)
    try:
        compile_pattern(text)
    except ValueError as error:
        raise InvalidDocumentError(f"no regular expression of RE2: {error}", pointer=pointer) from None
    return text


def compile_pattern(text: str) -> Any:
    """
    Return *text* as a regular expression whose matching takes time in proportion to what is looked at.

    Source: RE2's syntax (no look-around, no references back). Raises `ValueError`, with RE2's own words.
    """
    import re2  # noqa: PLC0415  only flags that match patterns need it

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else "malformed"
        raise ValueError(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from None


def _network(value: object, pointer: str) -> str:
    try:
        return str(ip_network(_text(value, pointer), strict=False))
    except ValueError:
        raise InvalidDocumentError("an address or a network, such as 10.0.0.0/8 or 2001:db8::/32", pointer=pointer) from None


def _segment(value: object, pointer: str) -> str:
    return names.check_key(value, pointer=pointer)


OPERATORS: dict[str, Callable[[object, str], Any]] = {
    "equals": _scalar,
    "in": _scalar,
    "contains": _text,
    "starts_with": _text,
    "ends_with": _text,
    "less_than": _number,
    "less_or_equal": _number,
    "greater_than": _number,
    "greater_or_equal": _number,
    "before": _moment,
    "after": _moment,
    "semver_equals": _version,
    "semver_less_than": _version,
    "semver_greater_than": _version,
    "matches": _pattern,
    "exists": _scalar,
    "in_cidr": _network,
    "in_segment": _segment,
}
"""Each operator, and what checks a value that it compares with."""

_AT_ONCE = frozenset({"equals", "in", "starts_with", "ends_with", "less_than", "less_or_equal", "greater_than", "greater_or_equal"})
"""Operators that cost the same however many values there are."""


# -- documents ---------------------------------------------------------------------------------------------------------


def fields(given: object, pointer: str, known: set[str]) -> Mapping[str, Any]:
    """Return *given* if it is an object with *known* fields only, none of them null."""
    if not isinstance(given, Mapping):
        raise InvalidDocumentError("an object", pointer=pointer)
    for name in given:
        if name not in known:
            raise InvalidDocumentError(f"unknown field; these are known: {', '.join(sorted(known))}", pointer=f"{pointer}/{name}")
        if given[name] is None:
            raise InvalidDocumentError("not null: leave it out", pointer=f"{pointer}/{name}")
    return given


def listed(given: object, pointer: str, limit: int) -> list[Any]:
    """Return *given* if it is a list of at most *limit* items."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence):
        raise InvalidDocumentError("a list", pointer=pointer)
    if len(given) > limit:
        raise InvalidDocumentError(f"at most {limit} items", pointer=pointer)
    return list(given)
