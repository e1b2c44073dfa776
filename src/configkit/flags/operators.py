"""
Conditions as functions of a user and a context: what `configkit.flags.conditions` has checked, in the form that is run.

Nothing here raises on a context that lacks an attribute or has one of another type: then the condition does not hold.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from configkit.flags.conditions import compile_pattern
from configkit.flags.limits import MAX_LIST, MAX_TEXT
from configkit.flags.targeting import TARGETING_KEY, text_of

Context = Mapping[str, Any]
Predicate = Callable[[Any, Context], bool]
"""Whether something holds for a user id and a context."""
Test = Callable[[Any], bool]
"""Whether something holds for one value, which is neither missing nor a list."""
Membership = Callable[[str], Predicate]
"""What tells of a segment who is in it."""


def compile_all(conditions: Sequence[Mapping[str, Any]], membership: Membership) -> Predicate | None:
    """Return whether all *conditions* hold; None: there are none."""
    predicates = [_compile(condition, membership) for condition in conditions]
    if not predicates:
        return None
    return predicates[0] if len(predicates) == 1 else _all(predicates)


def text_among(conditions: Sequence[Mapping[str, Any]]) -> tuple[str, frozenset[str]] | None:
    """Return the attribute and the texts, where *conditions* is just that it is one of them; None: it is something else."""
    if len(conditions) != 1 or conditions[0].get("operator") not in ("in", "equals") or "negate" in conditions[0]:
        return None
    attribute, values = conditions[0]["attribute"], conditions[0]["values"]
    if attribute == TARGETING_KEY or not all(isinstance(value, str) for value in values):
        return None
    return attribute, frozenset(values)


def _compile(condition: Mapping[str, Any], membership: Membership) -> Predicate:
    negate = condition.get("negate", False)
    if "all" in condition:
        return _negated(_all([_compile(each, membership) for each in condition["all"]]), negate=negate)
    if "any" in condition:
        return _negated(_any([_compile(each, membership) for each in condition["any"]]), negate=negate)
    operator = condition["operator"]
    if operator == "in_segment":
        return _negated(_any([membership(name) for name in condition["values"]]), negate=negate)
    attribute = condition["attribute"]
    if operator == "exists":
        return _negated(_exists(attribute), negate=negate)
    if operator in ("in", "equals") and all(isinstance(value, str) for value in condition["values"]):
        return _is_among(attribute, frozenset(condition["values"]), negate=negate)
    return _on_attribute(attribute, _TESTS[operator](condition["values"]), negate=negate)


def _all(predicates: list[Predicate]) -> Predicate:
    parts = tuple(predicates)

    def all_hold(key: Any, context: Context) -> bool:
        for part in parts:  # noqa: SIM110  a generator takes twice as long
            if not part(key, context):
                return False
        return True

    return all_hold


def _any(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    parts = tuple(predicates)

    def any_holds(key: Any, context: Context) -> bool:
        for part in parts:  # noqa: SIM110
            if part(key, context):
                return True
        return False

    return any_holds


def _negated(predicate: Predicate, *, negate: bool) -> Predicate:
    if not negate:
        return predicate

    def does_not_hold(key: Any, context: Context) -> bool:
        return not predicate(key, context)

    return does_not_hold


def _exists(attribute: str) -> Predicate:
    def is_there(key: Any, context: Context) -> bool:
        return _value(attribute, key, context) is not None

    return is_there


def _is_among(attribute: str, texts: frozenset[str], *, negate: bool) -> Predicate:
    """Return the commonest test of all, on its shortest way: text among texts."""
    slow = _on_attribute(attribute, _among(tuple(texts)), negate=negate, test_any=lambda items: not texts.isdisjoint(items))
    if negate:
        return slow
    if attribute == TARGETING_KEY:
        return lambda key, context: text_of(key) in texts  # noqa: ARG005

    def is_among(key: Any, context: Context) -> bool:
        try:
            return context[attribute] in texts
        except KeyError:
            return False
        except TypeError:
            return slow(key, context)

    return is_among


def _on_attribute(
    attribute: str, test: Test, *, negate: bool, test_any: Callable[[Collection[Any]], bool] | None = None
) -> Predicate:
    """Return whether *test* holds for the attribute, or for one of its items; *test_any* tests hashable items in one go."""

    def holds(key: Any, context: Context) -> bool:
        value = _value(attribute, key, context)
        if value is None:
            return False
        if isinstance(value, list | tuple | set | frozenset):
            if len(value) > MAX_LIST:
                return False
            try:
                found = any(map(plain, value)) if test_any is None else test_any(value)
            except TypeError:
                found = any(map(plain, value))
            return found is not negate
        try:
            return test(value) is not negate
        except (TypeError, ValueError, OverflowError):
            return False

    def plain(value: Any) -> bool:
        try:
            return test(value)
        except (TypeError, ValueError, OverflowError):
            return False

    return holds


def _value(attribute: str, key: Any, context: Context) -> Any:
    return text_of(key) if attribute == TARGETING_KEY else context.get(attribute)


# -- tests; one that is not about the type of what it is given raises TypeError ----------------------------------------


def _among(values: Sequence[Any]) -> Test:
    texts = frozenset(value for value in values if isinstance(value, str))
    truths = frozenset(value for value in values if isinstance(value, bool))
    numbers = frozenset(value for value in values if isinstance(value, int | float) and not isinstance(value, bool))

    def among(value: Any) -> bool:
        if isinstance(value, str):
            return value in texts
        if isinstance(value, bool):
            return value in truths
        return _number(value) in numbers

    return among


def _contains(values: Sequence[str]) -> Test:
    parts = tuple(values)

    def contains(value: Any) -> bool:
        text = _text(value)
        return any(part in text for part in parts)

    return contains


def _starts_with(values: Sequence[str]) -> Test:
    beginnings = tuple(values)
    return lambda value: _text(value).startswith(beginnings)


def _ends_with(values: Sequence[str]) -> Test:
    ends = tuple(values)
    return lambda value: _text(value).endswith(ends)


def _less_than(values: Sequence[float]) -> Test:
    most = max(values)
    return lambda value: _number(value) < most


def _less_or_equal(values: Sequence[float]) -> Test:
    most = max(values)
    return lambda value: _number(value) <= most


def _greater_than(values: Sequence[float]) -> Test:
    least = min(values)
    return lambda value: _number(value) > least


def _greater_or_equal(values: Sequence[float]) -> Test:
    least = min(values)
    return lambda value: _number(value) >= least


def _before(values: Sequence[str]) -> Test:
    last = max(map(datetime.fromisoformat, values))
    return lambda value: _moment(value) < last


def _after(values: Sequence[str]) -> Test:
    first = min(map(datetime.fromisoformat, values))
    return lambda value: _moment(value) > first


def _semver_equals(values: Sequence[str]) -> Test:
    wanted = [_version(value) for value in values]
    return lambda value: any(_version(_text(value)) == each for each in wanted)


def _semver_less_than(values: Sequence[str]) -> Test:
    most = max(map(_version, values))
    return lambda value: bool(_version(_text(value)) < most)


def _semver_greater_than(values: Sequence[str]) -> Test:
    least = min(map(_version, values))
    return lambda value: bool(_version(_text(value)) > least)


def _matches(values: Sequence[str]) -> Test:
    patterns = [compile_pattern(value) for value in values]

    def matches(value: Any) -> bool:
        text = _text(value)
        return any(pattern.search(text) is not None for pattern in patterns)

    return matches


def _in_cidr(values: Sequence[str]) -> Test:
    networks = [_masked(ip_network(value)) for value in values]

    def in_cidr(value: Any) -> bool:
        family, address = _address(_text(value))
        return any(family == its and address & mask == network for its, network, mask in networks)

    return in_cidr


_TESTS: dict[str, Callable[[Any], Test]] = {
    "equals": _among,
    "in": _among,
    "contains": _contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "less_than": _less_than,
    "less_or_equal": _less_or_equal,
    "greater_than": _greater_than,
    "greater_or_equal": _greater_or_equal,
    "before": _before,
    "after": _after,
    "semver_equals": _semver_equals,
    "semver_less_than": _semver_less_than,
    "semver_greater_than": _semver_greater_than,
    "matches": _matches,
    "in_cidr": _in_cidr,
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    if len(value) > MAX_TEXT:
        raise ValueError
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _moment(value: Any) -> datetime:
    """Return the time that *value* is: a datetime, RFC 3339 text, or seconds since 1970; without a zone it is UTC."""
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, str):
        found = datetime.fromisoformat(_text(value))
    else:
        found = datetime.fromtimestamp(_number(value), UTC)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@lru_cache(maxsize=4096)
def _version(text: str) -> Any:
    from semver import Version  # noqa: PLC0415  only flags that compare versions need it

    return Version.parse(text)


def _masked(network: IPv4Network | IPv6Network) -> tuple[int, int, int]:
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    return family, int(network.network_address), int(network.netmask)


def _address(text: str) -> tuple[int, int]:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        packed = socket.inet_pton(family, text)
    except OSError as error:
        raise ValueError from error
    if family == socket.AF_INET6 and packed[:12] == _MAPPED:
        family, packed = socket.AF_INET, packed[12:]
    return family, int.from_bytes(packed)


_MAPPED = bytes(10) + b"\xff\xff"
