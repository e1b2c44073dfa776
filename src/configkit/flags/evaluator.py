"""
How one flag is decided.

Disabled, then the schedule, the prerequisites, the targeted users, the rules in their order, and then everybody else, in
the vocabulary of the OpenFeature specification (section 2.2.5 and "Types"):

    ============================  ==========  =================================================================
    the flag is                   variant     reason
    ============================  ==========  =================================================================
    disabled, or out of its time  off         DISABLED
    lacking a prerequisite        off         DEFAULT
    decided for a targeted user   that one    TARGETING_MATCH
    decided by a rule             that one    TARGETING_MATCH; SPLIT where the rule has a percentage or a split
    on for everybody (100 %)      on          STATIC; DEFAULT where it has rules or prerequisites
    on for nobody else (0 %)      off         DEFAULT
    on for a share, or split      either      SPLIT
    on for a share, and there is  None        ERROR, TARGETING_KEY_MISSING where no user id was given (None or
    no user id to tell                        empty), INVALID_CONTEXT where it cannot be one, or where another
                                              attribute is hashed that is missing or cannot be
    any, but the default is of    None        ERROR, TYPE_MISMATCH
    another type (and not None)
    ============================  ==========  =================================================================

With an error the value is the caller's default. A disabled flag is off whatever the caller's default is: it is a
decision of the operator, not a failure. A user id is looked at only where the answer depends on it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from time import time
from types import MappingProxyType
from typing import Any, Protocol

from mmh3 import mmh3_32_uintdigest

from configkit.flags import bucketing
from configkit.flags.bucketing import KEY_HEADERS
from configkit.flags.definition import OFF, ON, kind_of
from configkit.flags.model import Evaluation, Flag
from configkit.flags.operators import Context, Predicate, compile_all, text_among
from configkit.flags.percentages import TOTAL
from configkit.flags.ramps import Ramp, seconds_of
from configkit.flags.targeting import TARGETING_KEY, targeting_key, text_of

NOTHING: Context = MappingProxyType({})
_encode = str.encode


class UndecidedError(Exception):
    """There is no decision; its argument is OpenFeature's error code."""


class Served:
    """
    One answer that a flag can give.

    Attributes:
        evaluation: The answer in full.
        value: Its value where that can be handed out as it is, or else `GUARDED`: objects are copied for each caller, and
            without an off variant it is the caller's default.
        tally: How often its variant was served, in a list of one number that all answers with this variant share.
        shown: What a server makes of it, kept here by whoever shows it.
    """

    __slots__ = ("evaluation", "shown", "tally", "value")

    def __init__(self, evaluation: Evaluation, tally: list[int], *, guarded: bool) -> None:
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


class Peers(Protocol):
    """The other flags of the set, which a flag may depend on."""

    def decide(self, name: str) -> Decide | None:
        """Return the flag *name*; None: there is none."""

    def tally(self, flag: str, variant: str | None) -> list[int]:
        """Return where servings of *variant* of *flag* are counted."""


Hash = Callable[[Any, "Context | None"], int]
"""The hash of a user, or of another attribute. Raises `UndecidedError` where there is none."""

_Outcome = Callable[[Any, Context], "Served | None"]
"""What a rule serves whom its conditions hold for; None: the next rule decides."""


def failed(name: object, environment: str, default: Any, error_code: str, version: int | None = None) -> Evaluation:
    """Return the evaluation that answers *default* because of *error_code*."""
    shown = name if isinstance(name, str) else type(name).__name__
    return Evaluation(shown, environment, default, None, "ERROR", version, error_code)


def compile_flag(flag: Flag, peers: Peers, *, clock: Callable[[], float] = time) -> Decide:
    """Return *flag* with everything about it that depends on neither user, context nor time worked out."""
    return _Compiler(flag, peers, clock).decide()


class _Compiler:
    def __init__(self, flag: Flag, peers: Peers, clock: Callable[[], float]) -> None:
        self._flag = flag
        self._peers = peers
        self._clock = clock
        self._values = flag.values
        self._off = OFF if flag.variants is None else flag.off_variant

    def decide(self) -> Decide:
        flag = self._flag
        if not flag.is_enabled:
            return _always(self._served(self._off, "DISABLED"))
        decide = self._rest()
        if flag.rules:
            decide = self._with_rules(decide)
        if flag.target_users or flag.targets:
            decide = self._with_targets(decide)
        if flag.prerequisites:
            decide = self._with_prerequisites(decide)
        if flag.schedule and flag.schedule.keys() & {"starts_at", "ends_at"}:
            decide = self._within(flag.schedule, decide)
        return decide

    def _served(self, variant: str | None, reason: str, rule: str | None = None) -> Served:
        flag = self._flag
        value = None if variant is None else self._values[variant]
        evaluation = Evaluation(flag.name, flag.environment, value, variant, reason, flag.version, None, rule)
        return Served(evaluation, self._peers.tally(flag.name, variant), guarded=variant is None or kind_of(value) == "object")

    # -- who matches nothing else --------------------------------------------------------------------------------------

    def _rest(self) -> Decide:
        flag = self._flag
        everybody = "DEFAULT" if flag.rules or flag.prerequisites else "STATIC"
        if flag.split is not None:
            return self._split(flag.split, None, flag.salt, flag.bucket_by)
        if flag.variants is not None:
            return _always(self._served(flag.default_variant, everybody))
        on, off = self._served(ON, everybody), self._served(OFF, "DEFAULT")
        below, above = self._served(ON, "SPLIT"), self._served(OFF, "SPLIT")
        if flag.schedule and "ramp" in flag.schedule:
            hashed = self._hash(flag.salt, flag.bucket_by)
            return _ramped(Ramp(flag.schedule, flag.rollout_percentage), self._clock, (on, off, below, above), hashed)
        buckets = bucketing.buckets_of(flag.rollout_percentage)
        if buckets in (0, TOTAL):
            return _always(on if buckets else off)
        return self._hashed([bucketing.hash_threshold(buckets)], [below, above], flag.salt, flag.bucket_by)

    def _split(self, split: Sequence[Mapping[str, Any]], rule: str | None, salt: str | None, attribute: str | None) -> Decide:
        return self._hashed(*self._parts(split, rule), salt, attribute)

    def _parts(self, split: Sequence[Mapping[str, Any]], rule: str | None) -> tuple[list[int], list[Served]]:
        """Return the hashes from which each next part begins, and what is served below, between and above them."""
        weighted = [part for part in split if part["weight"]]
        total = sum(part["weight"] for part in weighted)
        bounds, below = [], 0
        for part in weighted[:-1]:
            below += part["weight"]
            bounds.append(bucketing.hash_threshold(below, total))
        return bounds, [self._served(part["variant"], "SPLIT", rule) for part in weighted]

    def _hashed(self, bounds: list[int], answers: list[Served], salt: str | None, attribute: str | None) -> Decide:
        """Return what serves the first of *answers* below the first of *bounds*, and so on."""
        if attribute is not None and attribute != TARGETING_KEY:
            return _hashed(tuple(bounds), tuple(answers), self._hash(salt, attribute))
        prefix = bucketing.salt_prefix(salt or self._flag.salt or self._flag.name)
        return (
            _rollout(prefix, bounds[0], answers[0], answers[1])
            if len(bounds) == 1
            else _split(prefix, tuple(bounds), tuple(answers))
        )

    def _hash(self, salt: str | None, attribute: str | None) -> Hash:
        prefix = bucketing.salt_prefix(salt or self._flag.salt or self._flag.name)
        if attribute is None or attribute == TARGETING_KEY:
            return lambda key, context: hash_key(prefix, key)  # noqa: ARG005
        return lambda key, context: _hash_attribute(prefix, context, attribute)  # noqa: ARG005

    # -- rules ---------------------------------------------------------------------------------------------------------

    def _with_rules(self, rest: Decide) -> Decide:
        steps = [(compile_all(rule["conditions"], self._membership) or _anybody, self._outcome(rule)) for rule in self._flag.rules]
        if len(steps) > 1:
            return _rules(tuple(steps), rest)
        return self._experiment(self._flag.rules[0], rest, _one_rule(*steps[0], rest))

    def _experiment(self, rule: Mapping[str, Any], rest: Decide, general: Decide) -> Decide:
        """Return the commonest rule, a split in two for users with one of some texts, in one piece; or else *general*."""
        attribute = rule.get("bucket_by", self._flag.bucket_by)
        among = text_among(rule["conditions"])
        if among is None or "split" not in rule or attribute not in (None, TARGETING_KEY):
            return general
        bounds, answers = self._parts(rule["split"], rule["name"])
        if len(answers) != 2:
            return general
        prefix = bucketing.salt_prefix(rule.get("salt") or self._flag.salt or self._flag.name)
        return _among_split(*among, prefix, bounds[0], answers[0], answers[1], rest, general)

    def _outcome(self, rule: Mapping[str, Any]) -> _Outcome:
        name = rule["name"]
        salt, attribute = rule.get("salt"), rule.get("bucket_by", self._flag.bucket_by)
        if "split" in rule:
            return self._split(rule["split"], name, salt, attribute)
        percentage = rule.get("percentage")
        if percentage is None or percentage == 100:
            return _always(self._served(rule["variant"], "TARGETING_MATCH", name))
        threshold = bucketing.hash_threshold(bucketing.buckets_of(percentage))
        return _share(threshold, self._served(rule["variant"], "SPLIT", name), self._hash(salt, attribute))

    def _membership(self, segment: str) -> Predicate:
        peers = self._peers

        def is_member(key: Any, context: Context) -> bool:
            decide = peers.decide(segment)
            try:
                return decide is not None and decide(key, context).value is True
            except UndecidedError:
                return False

        return is_member

    # -- what comes before them ----------------------------------------------------------------------------------------

    def _with_targets(self, rest: Decide) -> Decide:
        flag = self._flag
        targets = [(frozenset(users), self._served(variant, "TARGETING_MATCH")) for variant, users in flag.targets.items()]
        if flag.target_users:
            targets.insert(0, (frozenset(flag.target_users), self._served(ON, "TARGETING_MATCH")))
        return _one_target(*targets[0], rest) if len(targets) == 1 else _targets(tuple(targets), rest)

    def _with_prerequisites(self, rest: Decide) -> Decide:
        peers = self._peers
        wanted = [(each["flag"], frozenset(each["variants"])) for each in self._flag.prerequisites]
        off = self._served(self._off, "DEFAULT")

        def with_prerequisites(key: Any, context: Context | None, now: float | None = None, /) -> Served:
            for name, variants in wanted:
                decide = peers.decide(name)
                if decide is None:
                    return off
                try:
                    found = decide(key, context, now).evaluation
                except UndecidedError:
                    return off
                if found.variant not in variants or found.reason == "DISABLED":
                    return off
            return rest(key, context, now)

        return with_prerequisites

    def _within(self, schedule: Mapping[str, Any], rest: Decide) -> Decide:
        starts = seconds_of(schedule["starts_at"]) if "starts_at" in schedule else float("-inf")
        ends = seconds_of(schedule["ends_at"]) if "ends_at" in schedule else float("inf")
        clock, off = self._clock, self._served(self._off, "DISABLED")

        def within(key: Any, context: Context | None, now: float | None = None, /) -> Served:
            if now is None:
                now = clock()
            return rest(key, context, now) if starts <= now < ends else off

        return within


# -- the forms, each as short as it can be: these run on every request -------------------------------------------------


def _always(served: Served) -> Decide:
    def always(key: Any, context: Context | None, now: float | None = None, /) -> Served:  # noqa: ARG001
        return served

    return always


def _rollout(prefix: bytes, threshold: int, below: Served, above: Served) -> Decide:
    def rollout(key: Any, context: Context | None, now: float | None = None, /) -> Served:  # noqa: ARG001
        try:
            encoded = _encode(key)
            hashed = mmh3_32_uintdigest(prefix + KEY_HEADERS[len(encoded)] + encoded, 0)
        except (TypeError, KeyError, UnicodeEncodeError):
            hashed = hash_key(prefix, key)
        return below if hashed < threshold else above

    return rollout


def _split(prefix: bytes, bounds: tuple[int, ...], answers: tuple[Served, ...]) -> Decide:
    def split(key: Any, context: Context | None, now: float | None = None, /) -> Served:  # noqa: ARG001
        try:
            encoded = _encode(key)
            hashed = mmh3_32_uintdigest(prefix + KEY_HEADERS[len(encoded)] + encoded, 0)
        except (TypeError, KeyError, UnicodeEncodeError):
            hashed = hash_key(prefix, key)
        return answers[bisect_right(bounds, hashed)]

    return split


def _hashed(bounds: tuple[int, ...], answers: tuple[Served, ...], hash_of: Hash) -> Decide:
    def hashed(key: Any, context: Context | None, now: float | None = None, /) -> Served:  # noqa: ARG001
        return answers[bisect_right(bounds, hash_of(key, context))]

    return hashed


def _share(threshold: int, served: Served, hash_of: Hash) -> _Outcome:
    def share(key: Any, context: Context) -> Served | None:
        return served if hash_of(key, context) < threshold else None

    return share


def _ramped(
    ramp: Ramp,
    clock: Callable[[], float],
    answers: tuple[Served, Served, Served, Served],
    hash_of: Hash,
) -> Decide:
    on, off, below, above = answers

    def ramped(key: Any, context: Context | None, now: float | None = None, /) -> Served:
        buckets = ramp.buckets(clock() if now is None else now)
        if buckets in (0, TOTAL):
            return on if buckets else off
        return below if hash_of(key, context) < bucketing.hash_threshold(buckets) else above

    return ramped


def _one_rule(matches: Predicate, outcome: _Outcome, rest: Decide) -> Decide:
    def one_rule(key: Any, context: Context | None, now: float | None = None, /) -> Served:
        if context is None:
            context = NOTHING
        if matches(key, context):
            served = outcome(key, context)
            if served is not None:
                return served
        return rest(key, context, now)

    return one_rule


def _among_split(
    attribute: str,
    texts: frozenset[str],
    prefix: bytes,
    threshold: int,
    below: Served,
    above: Served,
    rest: Decide,
    general: Decide,
) -> Decide:
    def among_split(key: Any, context: Context | None, now: float | None = None, /) -> Served:
        try:
            if context[attribute] in texts:  # type: ignore[index]
                encoded = _encode(key)
                hashed = mmh3_32_uintdigest(prefix + KEY_HEADERS[len(encoded)] + encoded, 0)
                return below if hashed < threshold else above
        except Exception:  # noqa: BLE001  whatever is not a plain text in a plain context
            return general(key, context, now)
        return rest(key, context, now)

    return among_split


def _rules(steps: tuple[tuple[Predicate, _Outcome], ...], rest: Decide) -> Decide:
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


def _one_target(users: frozenset[str], served: Served, rest: Decide) -> Decide:
    def one_target(key: Any, context: Context | None, now: float | None = None, /) -> Served:
        if (key if key.__class__ is str else text_of(key)) in users:
            return served
        return rest(key, context, now)

    return one_target


def _targets(targets: tuple[tuple[frozenset[str], Served], ...], rest: Decide) -> Decide:
    def several_targets(key: Any, context: Context | None, now: float | None = None, /) -> Served:
        text = key if key.__class__ is str else text_of(key)
        for users, served in targets:
            if text in users:
                return served
        return rest(key, context, now)

    return several_targets


def _anybody(key: Any, context: Context) -> bool:  # noqa: ARG001
    return True


def hash_key(prefix: bytes, key: Any) -> int:
    """Return the hash of a user id. Raises `UndecidedError` where there is none."""
    try:
        encoded = _encode(key)
        return mmh3_32_uintdigest(prefix + KEY_HEADERS[len(encoded)] + encoded, 0)
    except (TypeError, KeyError, UnicodeEncodeError):
        pass
    try:
        text = targeting_key(key)
    except ValueError:
        raise UndecidedError("INVALID_CONTEXT") from None
    if text is None:
        raise UndecidedError("TARGETING_KEY_MISSING")
    return bucketing.hash_key(prefix, text)


def _hash_attribute(prefix: bytes, context: Context | None, attribute: str) -> int:
    """Return the hash of another attribute. Raises `UndecidedError` where there is none."""
    try:
        return hash_key(prefix, (NOTHING if context is None else context).get(attribute))
    except UndecidedError:
        raise UndecidedError("INVALID_CONTEXT") from None
