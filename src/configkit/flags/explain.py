"""Why a user gets what they get: the way of an evaluation, step by step, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import Any

from configkit.flags import bucketing
from configkit.flags.compiled import CompiledSet
from configkit.flags.forms import NOTHING
from configkit.flags.hashing import UndecidedError
from configkit.flags.model import Evaluation, Flag
from configkit.flags.operators import compile_all
from configkit.flags.percentages import TOTAL
from configkit.flags.ramps import Ramp
from configkit.flags.targeting import TARGETING_KEY, text_of

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Step:
    """
    One thing that was looked at.

    Attributes:
        kind: ``flag``, ``schedule``, ``prerequisite``, ``target``, ``rule``, ``condition``, ``bucket``, ``rest`` or ``outcome``.
        detail: What was found, in words.
        holds: Whether it held, or was met; None: it is nothing that could.
        depth: 0, and more for parts of the step before.
    """

    kind: str
    detail: str
    holds: bool | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, and the steps that led to it."""

    evaluation: Evaluation
    steps: tuple[Step, ...]


def explain(
    flags: CompiledSet, name: str, user_id: object = None, context: Mapping[str, Any] | None = None, *, now: float | None = None
) -> Explanation:
    """
    Return why flag *name* is what it is for the user. Never raises, and counts as no use of the flag.

    Args:
        now: The time that schedules go by, in seconds since 1970; None: the present.
    """
    moment = time() if now is None else now
    decided = _decided(flags, name, user_id, context, moment)
    flag = flags.flags.get(name)
    steps: list[Step] = []
    if flag is None:
        unreadable = name in flags.flags.names
        why = "this release cannot read it" if unreadable else f"there is no flag {name} in {flags.environment}"
        steps.append(Step("flag", why, holds=False))
    else:
        try:
            _Walk(flags, flag, user_id, context if isinstance(context, Mapping) else NOTHING, moment, steps).go()
        except Exception:  # noqa: BLE001  a context can be anything, and raise anything when it is looked at
            steps.append(Step("condition", "what was given as context cannot be looked at", holds=False))
    said = decided.error_code or (f"variant {decided.variant}" if decided.variant else "the caller's default")
    steps.append(Step("outcome", f"{said}: {decided.reason}"))
    return Explanation(decided, tuple(steps))


def _decided(flags: CompiledSet, name: str, user_id: object, context: object, now: float) -> Evaluation:
    found = flags.evaluate(name, None, user_id, context, now=now)  # type: ignore[arg-type]
    if found.variant is not None:
        flags.tally(name, found.variant).count -= 1
    return found


class _Walk:
    def __init__(
        self, flags: CompiledSet, flag: Flag, user_id: object, context: Mapping[str, Any], now: float, steps: list[Step]
    ) -> None:
        self._flags = flags
        self._flag = flag
        self._user = user_id
        self._context = context
        self._now = now
        self._steps = steps

    def go(self) -> None:
        """Take the steps of the evaluation in its order, and stop where it does."""
        flag = self._flag
        self._say("flag", f"{flag.name} is {'on' if flag.is_enabled else 'off'}", holds=flag.is_enabled)
        if flag.is_enabled and self._in_time() and self._has_prerequisites() and not self._targeted() and not self._ruled():
            self._rest()

    def _say(self, kind: str, detail: str, *, holds: bool | None = None, depth: int = 0) -> None:
        self._steps.append(Step(kind, detail, holds, depth))

    def _in_time(self) -> bool:
        schedule = self._flag.schedule or {}
        moment = datetime.fromtimestamp(self._now, UTC).isoformat(timespec="seconds")
        for name, word in (("starts_at", "from"), ("ends_at", "until")):
            if name in schedule:
                bound = datetime.fromisoformat(schedule[name]).timestamp()
                holds = self._now >= bound if name == "starts_at" else self._now < bound
                self._say("schedule", f"on {word} {schedule[name]}; it is {moment}", holds=holds)
                if not holds:
                    return False
        return True

    def _has_prerequisites(self) -> bool:
        for each in self._flag.prerequisites:
            found = self._answer_of(each["flag"])
            holds = found is not None and found.variant in each["variants"] and found.reason != "DISABLED"
            if found is None:
                said = "is not there"
            elif found.reason == "DISABLED":
                said = "is off"
            else:
                said = f"answers {found.variant or found.error_code} ({found.reason})"
            self._say("prerequisite", f"{each['flag']} {said}; needed: {' or '.join(each['variants'])}", holds=holds)
            if not holds:
                return False
        return True

    def _answer_of(self, name: str) -> Evaluation | None:
        decide = self._flags.decide(name)
        if decide is None:
            return None
        try:
            return decide(self._user, self._context, self._now).evaluation
        except UndecidedError as error:
            return Evaluation(name, self._flags.environment, None, None, "ERROR", None, str(error))

    def _targeted(self) -> bool:
        flag, user = self._flag, text_of(self._user)
        lists = [("on", flag.target_users)] if flag.target_users else []
        for variant, users in (*lists, *flag.targets.items()):
            holds = user is not None and user in users
            self._say("target", f"one of the {len(users)} users that get {variant}", holds=holds)
            if holds:
                return True
        return False

    def _ruled(self) -> bool:
        for rule in self._flag.rules:
            at = len(self._steps)
            holds = self._conditions(rule["conditions"], 1)
            self._steps.insert(at, Step("rule", rule["name"], holds))
            if holds and self._serves(rule):
                return True
        return False

    def _conditions(self, conditions: Sequence[Mapping[str, Any]], depth: int) -> bool:
        holds = True
        for condition in conditions:
            predicate = compile_all([condition], self._membership)
            one = predicate is None or predicate(self._user, self._context)
            self._say("condition", self._worded(condition), holds=one, depth=depth)
            for group in ("all", "any"):
                self._conditions(condition.get(group, ()), depth + 1)
            holds = holds and one
        return holds

    def _membership(self, segment: str) -> Any:
        def is_member(key: Any, context: Mapping[str, Any]) -> bool:
            decide = self._flags.decide(segment)
            try:
                return decide is not None and decide(key, context).value is True
            except UndecidedError:
                return False

        return is_member

    def _worded(self, condition: Mapping[str, Any]) -> str:
        negated = "not " if condition.get("negate") else ""
        for group in ("all", "any"):
            if group in condition:
                return f"{negated}{group} of:"
        operator = condition["operator"]
        wanted = _short(condition.get("values", []))
        if operator == "in_segment":
            return f"{negated}in segment {wanted}"
        attribute = condition["attribute"]
        value = text_of(self._user) if attribute == TARGETING_KEY else self._context.get(attribute)
        had = "is missing" if value is None else f"is {_short(value)}"
        return f"{attribute} {negated}{operator}{'' if operator == 'exists' else ' ' + wanted}; it {had}"

    def _serves(self, rule: Mapping[str, Any]) -> bool:
        salt, attribute = rule.get("salt"), rule.get("bucket_by", self._flag.bucket_by)
        if "split" in rule:
            return self._bucket(salt, attribute, sum(part["weight"] for part in rule["split"]), rule["split"])
        percentage = rule.get("percentage")
        if percentage is None or percentage == 100:
            return True
        return self._share(salt, attribute, bucketing.buckets_of(percentage))

    def _rest(self) -> None:
        flag = self._flag
        if flag.split is not None:
            self._bucket(flag.salt, flag.bucket_by, sum(part["weight"] for part in flag.split), flag.split)
        elif flag.variants is not None:
            self._say("rest", f"everybody else gets {flag.default_variant}")
        else:
            buckets = bucketing.buckets_of(flag.rollout_percentage)
            if flag.schedule and "ramp" in flag.schedule:
                buckets = Ramp(flag.schedule, flag.rollout_percentage).buckets(self._now)
            self._say("rest", f"on for {buckets / 1000:g} % of the others")
            if 0 < buckets < TOTAL:
                self._share(flag.salt, flag.bucket_by, buckets)

    def _share(self, salt: str | None, attribute: str | None, buckets: int) -> bool:
        found = self._hashed(salt, attribute, TOTAL)
        if found is None:
            return True
        holds = found < buckets
        self._say("bucket", f"bucket {found:,} of {TOTAL:,}; in below {buckets:,}", holds=holds, depth=1)
        return holds

    def _bucket(self, salt: str | None, attribute: str | None, total: int, split: Sequence[Mapping[str, Any]]) -> bool:
        found = self._hashed(salt, attribute, total)
        if found is not None:
            shares = ", ".join(f"{part['variant']} {part['weight']:,}" for part in split)
            self._say("bucket", f"bucket {found:,} of {total:,}; shared out as {shares}", depth=1)
        return True

    def _hashed(self, salt: str | None, attribute: str | None, total: int) -> int | None:
        name = attribute or TARGETING_KEY
        key = text_of(self._user if name == TARGETING_KEY else self._context.get(name))
        if key is None:
            self._say("bucket", f"{name} is hashed, and is missing or no text of 1-1024 characters", holds=False, depth=1)
            return None
        salted = salt or self._flag.salt or self._flag.name
        bucket = bucketing.bucket(salted, key, total)
        self._say("bucket", f"hash of [{_short(salted)}, {_short(key)}]", depth=1)
        return bucket


def _short(value: object) -> str:
    text = ", ".join(map(repr, value[:5])) + (", ..." if len(value) > 5 else "") if isinstance(value, list) else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
