"""
Constraints of Unleash as conditions of a rule.

Source: Unleash's documentation, "Strategy constraints", and what its engine answers. Contexts of Unleash hold texts only:
numbers are to be given as numbers here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from configkit.flags.imports.findings import Condition, Findings, UnmappableError, a_text, all_of, an_object, negation, texts, where
from configkit.flags.targeting import TARGETING_KEY

_TEXTS = {"STR_CONTAINS": "contains", "STR_STARTS_WITH": "starts_with", "STR_ENDS_WITH": "ends_with"}
_PATTERNS = {"STR_CONTAINS": "(?i){}", "STR_STARTS_WITH": "(?i)^(?:{})", "STR_ENDS_WITH": "(?i)(?:{})$"}
_NUMBERS = {
    "NUM_EQ": "equals",
    "NUM_GT": "greater_than",
    "NUM_GTE": "greater_or_equal",
    "NUM_LT": "less_than",
    "NUM_LTE": "less_or_equal",
}
_VERSIONS = {"SEMVER_EQ": "semver_equals", "SEMVER_GT": "semver_greater_than", "SEMVER_LT": "semver_less_than"}
_TIMES = {"DATE_AFTER": "after", "DATE_BEFORE": "before"}
_OURS = ("environment", "appName", "currentTime")
NUMBERS = "its rules compare numbers: contexts have to hold them as numbers, not as texts"


def condition(given: object, pointer: str, flag: str, findings: Findings) -> Condition:
    """Return a constraint as a condition. Raises `UnmappableError`."""
    constraint = an_object(given, pointer)
    operator = a_text(constraint.get("operator"), f"{pointer}/operator")
    attribute = attribute_of(constraint.get("contextName"), f"{pointer}/contextName")
    found = _condition(constraint, operator, attribute, pointer)
    if operator in _NUMBERS:
        findings.note(flag, NUMBERS)
    return negation(found) if (constraint.get("inverted") is True) is not (operator == "NOT_IN") else found


def attribute_of(given: object, pointer: str) -> str:
    """Return a field of Unleash's context as an attribute. Raises `UnmappableError`."""
    name = a_text(given, pointer)
    if name in _OURS:
        remedy = (
            "use schedule" if name == "currentTime" else "flags belong to an environment here, and services give what is theirs"
        )
        raise UnmappableError(pointer, f"{name} is nothing that a context holds here; {remedy}")
    return TARGETING_KEY if name == "userId" else name


def _condition(constraint: Mapping[str, Any], operator: str, attribute: str, pointer: str) -> Condition:
    if operator in ("IN", "NOT_IN", *_TEXTS):
        values = texts(constraint.get("values"), f"{pointer}/values")
        if not values:
            return _nobody(attribute)
        if operator in _TEXTS and constraint.get("caseInsensitive") is True:
            return where(attribute, "matches", [_PATTERNS[operator].format(re.escape(value)) for value in values])
        return where(attribute, _TEXTS.get(operator, "in"), values)
    for operators, read in ((_NUMBERS, _number), (_VERSIONS, a_text), (_TIMES, a_text)):
        if operator in operators:
            return where(attribute, operators[operator], [read(constraint.get("value"), f"{pointer}/value")])
    known = ", ".join(["IN", "NOT_IN", *_TEXTS, *_NUMBERS, *_VERSIONS, *_TIMES])
    raise UnmappableError(f"{pointer}/operator", f"it has no equal here; these have: {known}")


def _nobody(attribute: str) -> Condition:
    """Return what holds for nobody."""
    there: Condition = {"attribute": attribute, "operator": "exists"}
    return all_of([there, negation(there)])


def _number(given: object, pointer: str) -> int | float:
    text = a_text(str(given) if isinstance(given, int | float) and not isinstance(given, bool) else given, pointer)
    try:
        number = float(text)
    except ValueError:
        raise UnmappableError(pointer, "a number is expected") from None
    return int(number) if number.is_integer() and abs(number) < 1e15 else number
