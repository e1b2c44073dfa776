"""What a feature flag is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from typing import Any

from configkit import names
from configkit.errors import InvalidDocumentError
from configkit.flags.conditions import check_moment
from configkit.flags.definition import (
    PLAIN_VARIANTS,
    check_attribute,
    check_prerequisites,
    check_rules,
    check_salt,
    check_schedule,
    check_split,
    check_tags,
    check_variant,
    check_variants,
)
from configkit.flags.percentages import check_percentage
from configkit.flags.targeting import MAX_USER_ID

FLAG, SEGMENT = "flag", "segment"

MAX_TARGET_USERS = 100_000
MAX_TARGET_BYTES = 768 * 1024
"""The users of one flag together, as JSON: so that every flag fits into one request."""


@dataclass(frozen=True, slots=True)
class Flag:
    """
    A flag of one environment.

    In its plain form it is on for a percentage of the users; with *variants* it answers one of several values. The
    documents of the further fields are those of `configkit.flags.definition`, which nobody may change in place.

    Attributes:
        rollout_percentage: 0 to 100 in steps of 0.001: the share of users that get it. Only without *variants*.
        target_users: Users that get it whatever the percentage. Only without *variants*.
        version: The environment's counter at the flag's last change; gaps are normal.
        kind: ``flag``, or ``segment``: users whom the rules of flags refer to.
        variants: The values by variant; None: ``on`` is true and ``off`` is false.
        default_variant: With *variants*: who gets it is everybody for whom nothing else is decided; or
        split: weighted variants for them.
        off_variant: With *variants*: what is answered while the flag is off; None: the caller's default.
        targets: Users by the variant that they get whatever the rules say.
        rules: The first one whose conditions hold decides.
        prerequisites: Flags that must answer certain variants, or this one is off.
        schedule: When it is on, and how the percentage grows meanwhile.
        salt: What is hashed with the user; None: the name. Flags of one salt put a user into the same bucket.
        bucket_by: The attribute that is hashed in the place of the user id.
        expires_at: When it should have been removed: it works on, and `configkit flag stale` tells.
    """

    name: str
    environment: str
    description: str = ""
    is_enabled: bool = False
    rollout_percentage: float = 0.0
    target_users: tuple[str, ...] = ()
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    kind: str = FLAG
    variants: Mapping[str, Any] | None = None
    default_variant: str | None = None
    split: Sequence[Mapping[str, Any]] | None = None
    off_variant: str | None = None
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: tuple[Mapping[str, Any], ...] = ()
    prerequisites: tuple[Mapping[str, Any], ...] = ()
    schedule: Mapping[str, Any] | None = None
    salt: str | None = None
    bucket_by: str | None = None
    tags: tuple[str, ...] = ()
    owner: str | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        names.check_key(self.name, pointer="/name")
        names.check_environment(self.environment)
        names.check_text(self.description, limit=4096, pointer="/description")
        if not isinstance(self.is_enabled, bool):
            raise InvalidDocumentError("true or false", pointer="/is_enabled")
        keep = partial(object.__setattr__, self)
        keep("rollout_percentage", check_percentage(self.rollout_percentage))
        keep("target_users", check_users(self.target_users))
        if any(getattr(self, name) != default for name, default in EXTENDED.items()):
            for name, value in _extended(self).items():
                keep(name, value)

    @property
    def values(self) -> Mapping[str, Any]:
        """The values by variant, those of the plain form too."""
        return PLAIN_VARIANTS if self.variants is None else self.variants

    def with_changes(self, changes: Mapping[str, Any]) -> Flag:
        """
        Return the flag with *changes* applied: an absent field stays, None resets it, a list or an object replaces.

        Raises:
            InvalidDocumentError: A field is unknown, fixed, or its value is not allowed.
        """
        check_changes(changes)
        return replace(self, **{name: _DEFAULTS[name] if value is None else value for name, value in changes.items()})

    def extended(self) -> dict[str, Any]:
        """Return the fields beyond the plain form that are not as they are by default."""
        return {name: getattr(self, name) for name, default in EXTENDED.items() if getattr(self, name) != default}


EXTENDED: dict[str, Any] = {
    field.name: {} if field.name == "targets" else field.default
    for field in fields(Flag)[[each.name for each in fields(Flag)].index("kind") :]
}
"""The fields beyond the plain form, with their defaults."""
_PLAIN = ("description", "is_enabled", "rollout_percentage", "target_users")
CHANGEABLE = (*_PLAIN, *(name for name in EXTENDED if name != "kind"))
_DEFAULTS: dict[str, Any] = {**{each.name: each.default for each in fields(Flag) if each.name in _PLAIN}, **EXTENDED}


def check_changes(changes: Mapping[str, Any]) -> None:
    """Refuse fields that are unknown or fixed. Raises `InvalidDocumentError`."""
    for name in changes:
        if name not in CHANGEABLE:
            raise InvalidDocumentError(f"not a field that can be changed; these can: {', '.join(CHANGEABLE)}", pointer=f"/{name}")


def _extended(flag: Flag) -> dict[str, Any]:
    """Return the fields beyond the plain form, checked. Raises `InvalidDocumentError`."""
    if flag.kind not in (FLAG, SEGMENT):
        raise InvalidDocumentError(f"{FLAG} or {SEGMENT}", pointer="/kind")
    variants = check_variants(flag.variants)
    values = PLAIN_VARIANTS if variants is None else variants
    checked: dict[str, Any] = {
        "variants": variants,
        "default_variant": flag.default_variant,
        "off_variant": flag.off_variant,
        "split": check_split(flag.split, values),
        "targets": _targets(flag.targets, values, flag.target_users),
        "rules": check_rules(flag.rules, values, segment=flag.kind == SEGMENT),
        "prerequisites": check_prerequisites(flag.prerequisites, flag.name),
        "schedule": check_schedule(flag.schedule),
        "salt": check_salt(flag.salt),
        "bucket_by": check_attribute(flag.bucket_by, "/bucket_by"),
        "tags": check_tags(flag.tags),
        "owner": None if flag.owner is None else names.check_text(flag.owner, limit=255, pointer="/owner"),
        "expires_at": None if flag.expires_at is None else check_moment(flag.expires_at, "/expires_at"),
    }
    for name in ("default_variant", "off_variant"):
        if checked[name] is not None:
            check_variant(checked[name], values, f"/{name}")
    _refuse_combinations(flag, checked)
    return {**checked, "is_enabled": True} if flag.kind == SEGMENT else checked


def _refuse_combinations(flag: Flag, checked: Mapping[str, Any]) -> None:
    if flag.kind == SEGMENT:
        for name in ("variants", "default_variant", "off_variant", "split", "prerequisites", "schedule"):
            if checked[name]:
                raise InvalidDocumentError("a segment has none: its users are in it or not", pointer=f"/{name}")
    if checked["variants"] is None:
        for name in ("default_variant", "off_variant", "split"):
            if checked[name] is not None:
                raise InvalidDocumentError(
                    "only with variants; without them rollout_percentage says who gets it", pointer=f"/{name}"
                )
        return
    if (checked["default_variant"] is None) == (checked["split"] is None):
        raise InvalidDocumentError("with variants: either a default_variant or a split", pointer="/default_variant")
    if flag.rollout_percentage:
        raise InvalidDocumentError("not with variants: the weights of a split say who gets what", pointer="/rollout_percentage")
    if flag.target_users:
        raise InvalidDocumentError("not with variants: targets names the users of each variant", pointer="/target_users")
    if (checked["schedule"] or {}).get("ramp"):
        raise InvalidDocumentError("not with variants: a ramp is about rollout_percentage", pointer="/schedule/ramp")


def _targets(given: object, variants: Mapping[str, Any], target_users: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, Mapping):
        raise InvalidDocumentError("an object of lists of users by variant", pointer="/targets")
    checked, seen = {}, dict.fromkeys(target_users, "target_users")
    for variant, users in given.items():
        at = f"/targets/{variant}"
        check_variant(variant, variants, at)
        checked[variant] = check_users(users, pointer=at)
        for user in checked[variant]:
            if user in seen:
                raise InvalidDocumentError(f"a user is under {seen[user]} already", pointer=at)
            seen[user] = variant
    if len(seen) > MAX_TARGET_USERS:
        raise InvalidDocumentError(f"at most {MAX_TARGET_USERS} users", pointer="/targets")
    return checked


def check_users(users: object, *, pointer: str = "/target_users") -> tuple[str, ...]:
    """Return *users* without repetition, in their order."""
    if isinstance(users, str | bytes) or not isinstance(users, Iterable):
        raise InvalidDocumentError("a list of user ids", pointer=pointer)
    listed = tuple(users)
    if len(listed) > MAX_TARGET_USERS:
        raise InvalidDocumentError(f"at most {MAX_TARGET_USERS} users; use a percentage for more", pointer=pointer)
    for index, user in enumerate(listed):
        names.check_text(user, limit=MAX_USER_ID, pointer=f"{pointer}/{index}", empty=False)
    unique = tuple(dict.fromkeys(listed))
    # No character is more than 6 bytes of JSON, so that ordinary lists need not be encoded to be measured.
    if sum(map(len, unique)) * 6 + len(unique) * 3 > MAX_TARGET_BYTES and _json_size(unique) > MAX_TARGET_BYTES:
        raise InvalidDocumentError("user ids of more than 768 KiB together; use a percentage for more", pointer=pointer)
    return unique


def _json_size(users: tuple[str, ...]) -> int:
    return len(json.dumps(users, ensure_ascii=False, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """
    What an evaluation decided, in OpenFeature's words.

    Attributes:
        reason: STATIC, DEFAULT, TARGETING_MATCH, SPLIT, DISABLED, STALE or ERROR.
        error_code: With reason ERROR: FLAG_NOT_FOUND, TARGETING_KEY_MISSING, TYPE_MISMATCH, INVALID_CONTEXT,
            PROVIDER_NOT_READY or GENERAL.
        rule: The name of the rule that decided, if one did.
    """

    flag_name: str
    environment: str
    value: Any
    variant: str | None
    reason: str
    version: int | None = None
    error_code: str | None = None
    rule: str | None = None

    @property
    def enabled(self) -> bool:
        """Whether the flag is on for this user: its value is true, or, where that is no boolean, it was not off."""
        if isinstance(self.value, bool):
            return self.value
        return self.variant is not None and self.reason not in {"DISABLED", "ERROR"}
