"""
Conditions in JsonLogic, as flagd has them, as conditions of a rule.

Source: flagd, "Flag Definitions" and its custom operations; https://jsonlogic.com/operations.html. Attributes are taken for
texts, versions or numbers as the operation is about them; what JsonLogic would convert before comparing is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from configkit.flags.imports.findings import (
    Condition,
    UnmappableError,
    a_list,
    a_number,
    a_text,
    all_of,
    an_object,
    any_of,
    negation,
    texts,
    where,
)

Evaluators = Mapping[str, Any]
"""What `$ref` refers to."""


def operation(given: object, pointer: str, evaluators: Evaluators) -> tuple[str, list[Any], str]:
    """Return the operator of *given*, its arguments, and where they are. Raises `UnmappableError`."""
    document = an_object(given, pointer)
    if len(document) != 1:
        raise UnmappableError(pointer, "an operation of JsonLogic has one operator")
    name, arguments = next(iter(document.items()))
    if name == "$ref":
        return _referred(arguments, pointer, evaluators)
    return name, arguments if isinstance(arguments, list) else [arguments], f"{pointer}/{name}"


def condition(given: object, pointer: str, evaluators: Evaluators) -> Condition:
    """Return *given* as a condition. Raises `UnmappableError`."""
    name, arguments, at = operation(given, pointer, evaluators)
    if name in ("and", "or", "!"):
        inner = [condition(each, f"{at}/{index}", evaluators) for index, each in enumerate(arguments)]
        if not inner or (name == "!" and len(inner) > 1):
            raise UnmappableError(at, "it has too few arguments, or too many")
        return negation(inner[0]) if name == "!" else all_of(inner) if name == "and" else any_of(inner)
    mapped = _OPERATIONS.get(name)
    if mapped is None:
        raise UnmappableError(at, f"the operation {name} has no equal here; these have: and, or, !, {', '.join(_OPERATIONS)}")
    return mapped(name, arguments, at)


def _referred(name: object, pointer: str, evaluators: Evaluators) -> tuple[str, list[Any], str]:
    seen: list[object] = []
    while True:
        if name in seen or not isinstance(name, str) or name not in evaluators:
            raise UnmappableError(f"{pointer}/$ref", "it leads to none of the $evaluators, or in a circle")
        seen.append(name)
        found = evaluators[name]
        if not isinstance(found, Mapping) or set(found) != {"$ref"}:
            return operation(found, f"{pointer}/$ref", {})
        name = found["$ref"]


def attribute(given: object, pointer: str) -> str:
    """Return the attribute that *given*, a ``var``, looks at. Raises `UnmappableError`."""
    name, arguments, at = operation(given, pointer, {})
    if name != "var" or len(arguments) != 1:
        raise UnmappableError(pointer, "an attribute is expected, as {'var': name} without a default")
    text = a_text(arguments[0], at)
    if not text or "." in text:
        raise UnmappableError(at, "attributes are looked up by one name, not inside of others, and not in $flagd")
    return text


def _is_var(given: object) -> bool:
    return isinstance(given, Mapping) and set(given) == {"var"}


def _two(arguments: list[Any], at: str) -> tuple[Any, Any]:
    if len(arguments) != 2:
        raise UnmappableError(at, "two arguments are expected")
    return arguments[0], arguments[1]


def _equality(name: str, arguments: list[Any], at: str) -> Condition:
    one, other = _two(arguments, at)
    if _is_var(other):
        one, other = other, one
    value = other
    if not isinstance(value, str | bool | int | float):
        raise UnmappableError(at, "an attribute is compared with a text, a number, true or false")
    if name in ("==", "!=") and not (isinstance(value, str) and _stays_text(value)):
        raise UnmappableError(at, f"{name} converts what it compares; write {name}= for {value!r}")
    equal = where(attribute(one, f"{at}/0"), "equals", [value])
    return negation(equal) if name.startswith("!") else equal


def _stays_text(text: str) -> bool:
    """Return whether no number, no boolean and no missing attribute equals *text* after conversion."""
    try:
        float(text.strip() or "0")
    except ValueError:
        return text.strip().lower() not in ("true", "false", "null")
    return False


def _membership(name: str, arguments: list[Any], at: str) -> Condition:  # noqa: ARG001  an operation's signature
    one, other = _two(arguments, at)
    if _is_var(other):
        return where(attribute(other, f"{at}/1"), "contains", [a_text(one, f"{at}/0")])
    return where(attribute(one, f"{at}/0"), "in", texts(other, f"{at}/1"))


def _affix(name: str, arguments: list[Any], at: str) -> Condition:
    one, other = _two(arguments, at)
    return where(attribute(one, f"{at}/0"), name, [a_text(other, f"{at}/1")])


_COMPARISONS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "<": ("less_than", operator.lt),
    "<=": ("less_or_equal", operator.le),
    ">": ("greater_than", operator.gt),
    ">=": ("greater_or_equal", operator.ge),
}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _comparison(name: str, arguments: list[Any], at: str) -> Condition:
    if len(arguments) == 3:
        return all_of([_comparison(name, arguments[:2], at), _comparison(name, arguments[1:], at)])
    one, other = _two(arguments, at)
    if _is_var(other):
        one, other, name = other, one, _TURNED[name]
    looked_at, number = attribute(one, at), a_number(other, at)
    ours, compare = _COMPARISONS[name]
    holds = where(looked_at, ours, [number])
    # A missing attribute is null in JsonLogic, and null is compared as 0.
    return any_of([holds, negation({"attribute": looked_at, "operator": "exists"})]) if compare(0, number) else holds


_VERSIONS: dict[str, Callable[[str, str], Condition]] = {
    "=": lambda name, version: where(name, "semver_equals", [version]),
    "<": lambda name, version: where(name, "semver_less_than", [version]),
    ">": lambda name, version: where(name, "semver_greater_than", [version]),
    "<=": lambda name, version: any_of([_VERSIONS["="](name, version), _VERSIONS["<"](name, version)]),
    ">=": lambda name, version: any_of([_VERSIONS["="](name, version), _VERSIONS[">"](name, version)]),
    "!=": lambda name, version: any_of([_VERSIONS["<"](name, version), _VERSIONS[">"](name, version)]),
}


def _version(name: str, arguments: list[Any], at: str) -> Condition:  # noqa: ARG001
    items = a_list(arguments, at)
    if len(items) != 3 or not isinstance(items[1], str) or items[1] not in _VERSIONS:
        raise UnmappableError(at, f"versions are compared by one of {' '.join(_VERSIONS)}; write a range as two comparisons")
    return _VERSIONS[items[1]](attribute(items[0], f"{at}/0"), a_text(items[2], f"{at}/2"))


_OPERATIONS: dict[str, Callable[[str, list[Any], str], Condition]] = {
    **dict.fromkeys(("==", "!=", "===", "!=="), _equality),
    "in": _membership,
    **dict.fromkeys(("starts_with", "ends_with"), _affix),
    **dict.fromkeys(_COMPARISONS, _comparison),
    "sem_ver": _version,
}
