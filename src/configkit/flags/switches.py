"""
Flags in short, for `Flags.is_enabled`: whether a flag is on, counted, with nothing else said about it.

The commonest kinds of flags are functions of one piece here; every other one asks its `Decide`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmh3 import mmh3_32_uintdigest

from configkit.flags.forms import Decide, Served
from configkit.flags.hashing import Salt
from configkit.flags.operators import Context

Switch = Callable[[Any, "Context | None"], bool]
"""
A flag as a function of the user id and the context.

It raises whatever it likes where there is no short answer: a flag that is not boolean, a user id or a context that is
none, or the first user id of its length. Then the long way has the answer.
"""
_encode = str.encode


class LongWayError(Exception):
    """There is no short answer."""


def of(decide: Decide) -> Switch:
    """Return any flag as a switch."""

    def switch(key: Any, context: Context | None) -> bool:
        served = decide(key, context)
        value = served.value
        if value is True or value is False:
            served.tally.count += 1
            return value
        raise LongWayError

    return switch


def always(served: Served) -> Switch:
    """Return a switch that is the same for everybody."""
    value, tally = served.value, served.tally

    def always(key: Any, context: Context | None) -> bool:  # noqa: ARG001
        tally.count += 1
        return value  # type: ignore[no-any-return]

    return always


def in_two(salt: Salt, threshold: int, below: Served, above: Served) -> Switch:
    """Return a switch whose hashes of users *below* the *threshold* get one answer, those *above* the other."""
    heads, low, low_tally, high, high_tally = salt.heads, below.value, below.tally, above.value, above.tally

    def in_two(key: Any, context: Context | None) -> bool:  # noqa: ARG001
        encoded = _encode(key)
        if mmh3_32_uintdigest(heads[len(encoded)] + encoded) < threshold:
            low_tally.count += 1
            return low  # type: ignore[no-any-return]
        high_tally.count += 1
        return high  # type: ignore[no-any-return]

    return in_two


def among(attribute: str, texts: frozenset[str], salt: Salt, threshold: int, below: Served, above: Served, rest: Served) -> Switch:
    """Return such a switch for users whose *attribute* is one of *texts*; the others get *rest*."""
    heads, low, low_tally, high, high_tally = salt.heads, below.value, below.tally, above.value, above.tally
    other, other_tally = rest.value, rest.tally

    def among(key: Any, context: Context | None) -> bool:
        try:
            if context[attribute] in texts:  # type: ignore[index]
                encoded = _encode(key)
                if mmh3_32_uintdigest(heads[len(encoded)] + encoded) < threshold:
                    low_tally.count += 1
                    return low  # type: ignore[no-any-return]
                high_tally.count += 1
                return high  # type: ignore[no-any-return]
        except KeyError:  # without the attribute
            pass
        except TypeError:
            if context is not None:
                raise
        other_tally.count += 1
        return other  # type: ignore[no-any-return]

    return among


def targets(users: frozenset[str], served: Served, rest: Served) -> Switch:
    """Return a switch with one answer for *users*, and another for everybody else."""
    chosen, chosen_tally, other, other_tally = served.value, served.tally, rest.value, rest.tally

    def targets(key: Any, context: Context | None) -> bool:  # noqa: ARG001
        if key.__class__ is not str:
            raise LongWayError
        if key in users:
            chosen_tally.count += 1
            return chosen  # type: ignore[no-any-return]
        other_tally.count += 1
        return other  # type: ignore[no-any-return]

    return targets
