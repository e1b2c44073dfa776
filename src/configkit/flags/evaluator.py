"""
How one flag is decided.

Disabled, then targeted users, then the rollout, in the vocabulary of the OpenFeature specification (section 2.2.5 and
"Types"):

    ============================  =======  =======  =======================================================
    the flag is                   value    variant  reason
    ============================  =======  =======  =======================================================
    disabled                      False    off      DISABLED
    on for this targeted user     True     on       TARGETING_MATCH
    on for everybody (100 %)      True     on       STATIC
    on for nobody else (0 %)      False    off      DEFAULT
    on for a share                either   either   SPLIT
    on for a share, and there is  default  None     ERROR, TARGETING_KEY_MISSING where no user id was given (None or
    no user id to tell                              empty), INVALID_CONTEXT where it cannot be one
    any, but the default is not   default  None     ERROR, TYPE_MISMATCH
    a boolean (or None)
    ============================  =======  =======  =======================================================

A disabled flag is off whatever the caller's default is: it is a decision of the operator, not a failure. A user id is
looked at only where the answer depends on it.
"""

from __future__ import annotations

from typing import Any

from configkit.flags import bucketing
from configkit.flags.model import MAX_USER_ID, TOTAL, Evaluation, Flag

Entry = tuple[bytes | None, int, frozenset[str] | None]
"""
What `Flags.is_enabled` needs of a flag: the salt's prefix, the hash threshold, the targeted users (None: none).

Without a prefix nothing depends on the user, and a threshold above 0 means on.
"""


def targeting_key(user_id: object) -> str | None:
    """
    Return *user_id* as the text that is targeted and hashed; None where there is none (None, or empty).

    An int becomes its decimal text.

    Raises:
        ValueError: It cannot be a user id: another type, longer than 1 024 characters, or not to be written in UTF-8.
    """
    if isinstance(user_id, str):
        text = str.__str__(user_id)
    elif user_id is None:
        return None
    elif isinstance(user_id, int) and not isinstance(user_id, bool):
        text = int.__repr__(user_id)
    else:
        raise ValueError("a user id is a text or an int")
    if len(text) > MAX_USER_ID:
        raise ValueError(f"a user id has at most {MAX_USER_ID} characters")
    if not text.isascii():
        text.encode()
    return text or None


def failed(name: object, environment: str, default: Any, error_code: str, version: int | None = None) -> Evaluation:
    """Return the evaluation that answers *default* because of *error_code*."""
    shown = name if isinstance(name, str) else type(name).__name__
    return Evaluation(shown, environment, default, None, "ERROR", version, error_code)


class CompiledFlag:
    """
    A flag with everything about it that does not depend on the user worked out.

    Attributes:
        flag: What it was made from.
        entry: The same decision in the form that `Flags.is_enabled` works on.
    """

    __slots__ = ("_below", "_from", "_prefix", "_rest", "_targeted", "_threshold", "_users", "entry", "flag")

    def __init__(self, flag: Flag) -> None:
        self.flag = flag
        buckets = bucketing.buckets_of(flag.rollout_percentage) if flag.is_enabled else 0
        self._users = frozenset(flag.target_users) if flag.is_enabled else frozenset()
        self._prefix = bucketing.salt_prefix(flag.name)
        self._threshold = bucketing.hash_threshold(buckets)
        self._targeted = self._decided(on=True, reason="TARGETING_MATCH")
        self._below = self._decided(on=True, reason="SPLIT")
        self._from = self._decided(on=False, reason="SPLIT")
        self._rest = self._for_everybody_else(buckets)
        depends_on_user = 0 < buckets < TOTAL or (self._users and buckets == 0)
        self.entry: Entry = (self._prefix if depends_on_user else None, self._threshold, self._users or None)

    def evaluate(self, default: Any, user_id: object) -> Evaluation:
        """Return the decision for the user; *default* is the value where there can be none. Never raises."""
        if default is not None and not isinstance(default, bool):
            return self._failed(default, "TYPE_MISMATCH")
        rest = self._rest
        if rest is not None and not self._users:
            return rest
        try:
            key = targeting_key(user_id)
        except ValueError:
            return rest or self._failed(default, "INVALID_CONTEXT")
        if key is None:
            return rest or self._failed(default, "TARGETING_KEY_MISSING")
        if key in self._users:
            return self._targeted
        if rest is not None:
            return rest
        return self._below if bucketing.hash_key(self._prefix, key) < self._threshold else self._from

    def _for_everybody_else(self, buckets: int) -> Evaluation | None:
        if not self.flag.is_enabled:
            return self._decided(on=False, reason="DISABLED")
        if buckets == 0:
            return self._decided(on=False, reason="DEFAULT")
        return self._decided(on=True, reason="STATIC") if buckets == TOTAL else None

    def _decided(self, *, on: bool, reason: str) -> Evaluation:
        flag = self.flag
        return Evaluation(flag.name, flag.environment, on, "on" if on else "off", reason, flag.version)

    def _failed(self, default: Any, error_code: str) -> Evaluation:
        return failed(self.flag.name, self.flag.environment, default, error_code, self.flag.version)
