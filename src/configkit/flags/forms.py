"""The forms that a compiled flag takes, each as short as it can be: these run on every request."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from mmh3 import mmh3_32_uintdigest

from configkit.flags import bucketing
from configkit.flags.hashing import Salt
from configkit.flags.model import Evaluation
from configkit.flags.operators import Context, Predicate
from configkit.flags.percentages import TOTAL
from configkit.flags.ramps import Ramp
from configkit.flags.targeting import text_of

NOTHING: Context = MappingProxyType({})
_END = 1 << 32
"""Above every hash."""
_encode = str.encode


class Tally:
    """
    How often a variant was served.

    `tally.count += 1` needs no lock: CPython's threads take turns at calls and at the ends of loops, never within it.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Served:
    """
    One answer that a flag can give.

    Attributes:
        evaluation: The answer in full.
        value: Its value where that can be handed out as it is, or else `GUARDED`: objects are copied for each caller, and
            without an off variant it is the caller's default.
        tally: How often its variant was served; all answers with this variant share it.
        shown: What a server makes of it, kept here by whoever shows it.
    """

    __slots__ = ("evaluation", "shown", "tally", "value")

    def __init__(self, evaluation: Evaluation, tally: Tally, *, guarded: bool) -> None:
        self.evaluation = evaluation
        self.value: Any = GUARDED if guarded else evaluation.value
        self.tally = tally
        self.shown: bytes | None = None


class _Guarded:
    """The class of no default: what is served needs a closer look."""


GUARDED = _Guarded()


class Decide(Protocol):
    """
    A flag as a function of the user id, the context and the time (seconds since 1970; None: now).

    Raises `UndecidedError`, and anything at all on a user id or a context that is none; `CompiledSet.evaluate` sees to it.
    """

    def __call__(self, key: Any, context: Context | None, now: float | None = None, /) -> Served:
        """Return what is served."""


Hash = Callable[[Any, "Context | None"], int]
"""The hash of a user, or of another attribute. Raises `UndecidedError` where there is none."""

Outcome = Callable[[Any, Context], "Served | None"]
"""What a rule serves whom its conditions hold for; None: the next rule decides."""


def always(served: Served) -> Decide:
    """Return what serves everybody the same."""

    def always(key: Any, context: Context | None, now: float | None = None, /) -> Served:  # noqa: ARG001
        return served

    return always


def split(salt: Salt, bounds: Sequence[int], answers: Sequence[Served]) -> Decide:
    """Return what serves the first of *answers* to hashes of users below the first of *bounds*, and so on."""
    if len(answers) == 2:
        return _in_two(salt, bounds[0], *answers)
    return _in_four(salt, bounds, answers) if len(answers) <= 4 else _in_many(salt, tuple(bounds), tuple(answers))


def _in_two(salt: Salt, threshold: int, below: Served, above: Served) -> Decide:
    heads = salt.heads

    def in_two(key: Any, context: Context | None, now: float | None = None, /) -> Served:  # noqa: ARG001
        try:
            encoded = _encode(key)
            hashed = mmh3_32_uintdigest(heads[len(encoded)] + encoded)
        except (TypeError, LookupError, UnicodeEncodeError):
            hashed = salt.hash_of(key)
        return below if hashed < threshold else above

    return in_two


def _in_four(salt: Salt, bounds: Sequence[int], answers: Sequence[Served]) -> Decide:
    """Return a split in up to four: comparisons are quicker than a search."""
    heads = salt.heads
    first, second, third = [*bounds, _END, _END, _END][:3]
    one, two, three, four = [*answers, answers[-1], answers[-1], answers[-1]][:4]

    def in_four(key: Any, context: Context | None, now: float | None = None, /) -> Served:  # noqa: ARG001
        try:
            encoded = _encode(key)
            hashed = mmh3_32_uintdigest(heads[len(encoded)] + encoded)
        except (TypeError, LookupError, UnicodeEncodeError):
            hashed = salt.hash_of(key)
        if hashed < second:
            return one if hashed < first else two
        return three if hashed < third else four

    return in_four


def _in_many(salt: Salt, bounds: tuple[int, ...], answers: tuple[Served, ...]) -> Decide:
    heads = salt.heads

    def in_many(key: Any, context: Context | None, now: float | None = None, /) -> Served:  # noqa: ARG001
        try:
            encoded = _encode(key)
            hashed = mmh3_32_uintdigest(heads[len(encoded)] + encoded)
        except (TypeError, LookupError, UnicodeEncodeError):
            hashed = salt.hash_of(key)
        return answers[bisect_right(bounds, hashed)]

    return in_many


def hashed(bounds: Sequence[int], answers: Sequence[Served], hash_of: Hash) -> Decide:
    """Return what serves the first of *answers* to hashes below the first of *bounds*, and so on."""
    below, served = tuple(bounds), tuple(answers)

    def hashed(key: Any, context: Context | None, now: float | None = None, /) -> Served:  # noqa: ARG001
        return served[bisect_right(below, hash_of(key, context))]

    return hashed


def share(threshold: int, served: Served, hash_of: Hash) -> Outcome:
    """Return a rule's outcome that is for hashes below *threshold* only."""

    def share(key: Any, context: Context) -> Served | None:
        return served if hash_of(key, context) < threshold else None

    return share


def ramped(
    ramp: Ramp,
    clock: Callable[[], float],
    answers: tuple[Served, Served, Served, Served],
    hash_of: Hash,
) -> Decide:
    """Return what serves a share that grows with time; *answers*: for all, for nobody, below the share and above it."""
    on, off, below, above = answers

    def ramped(key: Any, context: Context | None, now: float | None = None, /) -> Served:
        buckets = ramp.buckets(clock() if now is None else now)
        if buckets in (0, TOTAL):
            return on if buckets else off
        return below if hash_of(key, context) < bucketing.hash_threshold(buckets) else above

    return ramped


def one_rule(matches: Predicate, outcome: Outcome, rest: Decide) -> Decide:
    """Return what serves *outcome* whom the rule matches, and *rest* the others."""

    def one_rule(key: Any, context: Context | None, now: float | None = None, /) -> Served:
        if context is None:
            context = NOTHING
        if matches(key, context):
            served = outcome(key, context)
            if served is not None:
                return served
        return rest(key, context, now)

    return one_rule


def rules(steps: tuple[tuple[Predicate, Outcome], ...], rest: Decide) -> Decide:
    """Return what serves the outcome of the first rule that matches, and *rest* where none does."""

    def rules(key: Any, context: Context | None, now: float | None = None, /) -> Served:
        if context is None:
            context = NOTHING
        for matches, outcome in steps:
            if matches(key, context):
                served = outcome(key, context)
                if served is not None:
                    return served
        return rest(key, context, now)

    return rules


def one_target(users: frozenset[str], served: Served, rest: Decide) -> Decide:
    """Return what serves *users* the same, whatever *rest* says."""

    def one_target(key: Any, context: Context | None, now: float | None = None, /) -> Served:
        if (key if key.__class__ is str else text_of(key)) in users:
            return served
        return rest(key, context, now)

    return one_target


def targets(targets: tuple[tuple[frozenset[str], Served], ...], rest: Decide) -> Decide:
    """Return what serves several lists of users, whatever *rest* says."""

    def several_targets(key: Any, context: Context | None, now: float | None = None, /) -> Served:
        text = key if key.__class__ is str else text_of(key)
        for users, served in targets:
            if text in users:
                return served
        return rest(key, context, now)

    return several_targets


def anybody(key: Any, context: Context) -> bool:  # noqa: ARG001
    """Return True: a rule without conditions is for everybody."""
    return True
