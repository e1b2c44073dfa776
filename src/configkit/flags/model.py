"""What a feature flag is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from configkit import names
from configkit.errors import InvalidDocumentError

TOTAL = 100_000
"""Buckets of a percentage: one is 0.001 %."""

MAX_TARGET_USERS = 100_000
MAX_USER_ID = 1024
MAX_TARGET_BYTES = 768 * 1024
"""The users of one flag together, as JSON: so that every flag fits into one request."""


@dataclass(frozen=True, slots=True)
class Flag:
    """
    A flag of one environment, in its plain form.

    Attributes:
        rollout_percentage: 0 to 100 in steps of 0.001: the share of users that get it.
        target_users: Users that get it whatever the percentage.
        version: The environment's counter at the flag's last change; gaps are normal.
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

    def __post_init__(self) -> None:
        names.check_key(self.name, pointer="/name")
        names.check_environment(self.environment)
        names.check_text(self.description, limit=4096, pointer="/description")
        if not isinstance(self.is_enabled, bool):
            raise InvalidDocumentError("true or false", pointer="/is_enabled")
        object.__setattr__(self, "rollout_percentage", check_percentage(self.rollout_percentage))
        object.__setattr__(self, "target_users", check_users(self.target_users))

    def with_changes(self, changes: Mapping[str, Any]) -> Flag:
        """
        Return the flag with *changes* applied: an absent field stays, None resets it, a list replaces.

        Raises:
            InvalidDocumentError: A field is unknown, fixed, or its value is not allowed.
        """
        for field in changes:
            if field not in CHANGEABLE:
                raise InvalidDocumentError(
                    f"not a field that can be changed; these can: {', '.join(CHANGEABLE)}", pointer=f"/{field}"
                )
        return replace(self, **{field: _DEFAULTS[field] if value is None else value for field, value in changes.items()})


CHANGEABLE = ("description", "is_enabled", "rollout_percentage", "target_users")
_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Flag) if field.name in CHANGEABLE}


def check_percentage(percentage: object, *, pointer: str = "/rollout_percentage") -> float:
    """Return *percentage* rounded to its step of 0.001; anything finer or outside 0 to 100 is refused."""
    if isinstance(percentage, bool) or not isinstance(percentage, int | float) or not math.isfinite(percentage):
        raise InvalidDocumentError("a number from 0 to 100", pointer=pointer)
    if not 0 <= percentage <= 100:
        raise InvalidDocumentError("a number from 0 to 100", pointer=pointer)
    if abs(percentage * 1000 - round(percentage * 1000)) > 1e-6:
        raise InvalidDocumentError("in steps of 0.001", pointer=pointer)
    return round(percentage * 1000) / 1000


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
class FlagSet:
    """
    All flags of one environment at one moment.

    Attributes:
        version: The environment's counter: each change of a flag of it adds one.
    """

    environment: str
    version: int
    flags: Mapping[str, Flag]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """
    What an evaluation decided, in OpenFeature's words.

    Attributes:
        reason: STATIC, DEFAULT, TARGETING_MATCH, SPLIT, DISABLED, STALE or ERROR.
        error_code: With reason ERROR: FLAG_NOT_FOUND, TARGETING_KEY_MISSING, TYPE_MISMATCH, INVALID_CONTEXT,
            PROVIDER_NOT_READY or GENERAL.
    """

    flag_name: str
    environment: str
    value: Any
    variant: str | None
    reason: str
    version: int | None = None
    error_code: str | None = None

    @property
    def enabled(self) -> bool:
        """Whether the flag is on for this user."""
        return self.value is True
