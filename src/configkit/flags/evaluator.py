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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, Protocol

from configkit.flags import bucketing, forms, switches
from configkit.flags.definition import OFF, ON, kind_of
from configkit.flags.forms import Decide, Hash, Outcome, Served, Tally
from configkit.flags.hashing import Salt, UndecidedError
from configkit.flags.model import Evaluation, Flag
from configkit.flags.operators import Context, Predicate, compile_all, text_among
from configkit.flags.percentages import TOTAL
from configkit.flags.ramps import Ramp, seconds_of
from configkit.flags.switches import Switch
from configkit.flags.targeting import TARGETING_KEY


class Peers(Protocol):
    """The other flags of the set, which a flag may depend on."""

    def decide(self, name: str) -> Decide | None:
        """Return the flag *name*; None: there is none."""

    def tally(self, flag: str, variant: str | None) -> Tally:
        """Return where servings of *variant* of *flag* are counted."""


def failed(name: object, environment: str, default: Any, error_code: str, version: int | None = None) -> Evaluation:
    """Return the evaluation that answers *default* because of *error_code*."""
    shown = name if isinstance(name, str) else type(name).__name__
    return Evaluation(shown, environment, default, None, "ERROR", version, error_code)


def compile_flag(flag: Flag, peers: Peers, *, clock: Callable[[], float] = time) -> tuple[Decide, Switch]:
    """
    Return *flag* with everything about it that depends on neither user, context nor time worked out.

    The first function is the flag, the second the same in short, for whoever only wants to know whether it is on.
    """
    compiler = _Compiler(flag, peers, clock)
    decide = compiler.decide()
    return decide, compiler.switch() or switches.of(decide)


@dataclass(frozen=True)
class _Parts:
    """Weighted answers: the first of *answers* is for hashes below the first of *bounds*, and so on."""

    bounds: Sequence[int]
    answers: Sequence[Served]


class _Compiler:
    def __init__(self, flag: Flag, peers: Peers, clock: Callable[[], float]) -> None:
        self._flag = flag
        self._peers = peers
        self._clock = clock
        self._salts: dict[str, Salt] = {}
        self._values = flag.values
        self._for_all = "DEFAULT" if flag.rules or flag.prerequisites else "STATIC"
        self._off = OFF if flag.variants is None else flag.off_variant

    def decide(self) -> Decide:
        flag = self._flag
        if not flag.is_enabled:
            return forms.always(self._served(self._off, "DISABLED"))
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

    def switch(self) -> Switch | None:
        """Return the flag as a switch of one piece, where it is of one of the commonest kinds."""
        flag = self._flag
        if any(type(value) is not bool for value in self._values.values()):
            return None
        if not flag.is_enabled:
            return None if self._off is None else switches.always(self._served(self._off, "DISABLED"))
        if flag.prerequisites or flag.schedule or flag.targets or len(flag.rules) > 1:
            return None
        rest = self._everybody()
        if flag.rules:
            return None if flag.target_users or isinstance(rest, _Parts) else self._experiment(flag.rules[0], rest)
        if isinstance(rest, _Parts):
            if flag.target_users or len(rest.answers) != 2 or not _by_user(flag.bucket_by):
                return None
            return switches.in_two(self._salt(flag.salt), rest.bounds[0], *rest.answers)
        if flag.target_users:
            return switches.targets(frozenset(flag.target_users), self._served(ON, "TARGETING_MATCH"), rest)
        return switches.always(rest)

    def _experiment(self, rule: Mapping[str, Any], rest: Served) -> Switch | None:
        """Return the commonest rule: a split in two for users with one of some texts."""
        among = text_among(rule["conditions"])
        if among is None or "split" not in rule or not _by_user(rule.get("bucket_by", self._flag.bucket_by)):
            return None
        parts = self._parts(rule["split"], rule["name"])
        if len(parts.answers) != 2:
            return None
        below, above = parts.answers
        return switches.among(*among, self._salt(rule.get("salt")), parts.bounds[0], below, above, rest)

    def _served(self, variant: str | None, reason: str, rule: str | None = None) -> Served:
        flag = self._flag
        value = None if variant is None else self._values[variant]
        evaluation = Evaluation(flag.name, flag.environment, value, variant, reason, flag.version, None, rule)
        return Served(evaluation, self._peers.tally(flag.name, variant), guarded=variant is None or kind_of(value) == "object")

    # -- who matches nothing else --------------------------------------------------------------------------------------

    def _everybody(self) -> Served | _Parts:
        """Return what is served where the flag has no ramp."""
        flag = self._flag
        if flag.split is not None:
            return self._parts(flag.split, None)
        if flag.variants is not None:
            return self._served(flag.default_variant, self._for_all)
        buckets = bucketing.buckets_of(flag.rollout_percentage)
        if buckets in (0, TOTAL):
            return self._served(ON, self._for_all) if buckets else self._served(OFF, "DEFAULT")
        return _Parts([bucketing.hash_threshold(buckets)], [self._served(ON, "SPLIT"), self._served(OFF, "SPLIT")])

    def _rest(self) -> Decide:
        flag = self._flag
        if flag.schedule and "ramp" in flag.schedule:
            answers = (
                self._served(ON, self._for_all),
                self._served(OFF, "DEFAULT"),
                self._served(ON, "SPLIT"),
                self._served(OFF, "SPLIT"),
            )
            hash_of = self._hash(flag.salt, flag.bucket_by)
            return forms.ramped(Ramp(flag.schedule, flag.rollout_percentage), self._clock, answers, hash_of)
        rest = self._everybody()
        return self._split(rest, flag.salt, flag.bucket_by) if isinstance(rest, _Parts) else forms.always(rest)

    def _parts(self, split: Sequence[Mapping[str, Any]], rule: str | None) -> _Parts:
        weighted = [part for part in split if part["weight"]]
        total = sum(part["weight"] for part in weighted)
        bounds, below = [], 0
        for part in weighted[:-1]:
            below += part["weight"]
            bounds.append(bucketing.hash_threshold(below, total))
        return _Parts(bounds, [self._served(part["variant"], "SPLIT", rule) for part in weighted])

    def _split(self, parts: _Parts, salt: str | None, attribute: str | None) -> Decide:
        if _by_user(attribute):
            return forms.split(self._salt(salt), parts.bounds, parts.answers)
        return forms.hashed(parts.bounds, parts.answers, self._hash(salt, attribute))

    def _salt(self, salt: str | None) -> Salt:
        name = salt or self._flag.salt or self._flag.name
        return self._salts.setdefault(name, Salt(name))

    def _hash(self, salt: str | None, attribute: str | None) -> Hash:
        salted = self._salt(salt)
        if attribute is None or attribute == TARGETING_KEY:
            return lambda key, context: salted.hash_of(key)  # noqa: ARG005
        return lambda key, context: salted.hash_of_attribute(context, attribute)  # noqa: ARG005

    # -- rules ---------------------------------------------------------------------------------------------------------

    def _with_rules(self, rest: Decide) -> Decide:
        steps = [
            (compile_all(rule["conditions"], self._membership) or forms.anybody, self._outcome(rule)) for rule in self._flag.rules
        ]
        return forms.one_rule(*steps[0], rest) if len(steps) == 1 else forms.rules(tuple(steps), rest)

    def _outcome(self, rule: Mapping[str, Any]) -> Outcome:
        name = rule["name"]
        salt, attribute = rule.get("salt"), rule.get("bucket_by", self._flag.bucket_by)
        if "split" in rule:
            return self._split(self._parts(rule["split"], name), salt, attribute)
        percentage = rule.get("percentage")
        if percentage is None or percentage == 100:
            return forms.always(self._served(rule["variant"], "TARGETING_MATCH", name))
        threshold = bucketing.hash_threshold(bucketing.buckets_of(percentage))
        return forms.share(threshold, self._served(rule["variant"], "SPLIT", name), self._hash(salt, attribute))

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
        return forms.one_target(*targets[0], rest) if len(targets) == 1 else forms.targets(tuple(targets), rest)

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


def _by_user(attribute: str | None) -> bool:
    """Return whether hashing *attribute* is hashing the user id."""
    return attribute is None or attribute == TARGETING_KEY
