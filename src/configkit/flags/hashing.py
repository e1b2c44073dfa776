"""The hash of a user, or of another attribute, under one salt: `bucketing`, as fast as it can be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmh3 import mmh3_32_uintdigest

from configkit.flags import bucketing
from configkit.flags.targeting import targeting_key

MAX_QUICK = 256
"""Keys of fewer bytes than that are hashed quickly, once one of their length was seen."""


_encode = str.encode


class UndecidedError(Exception):
    """There is no decision; its argument is OpenFeature's error code."""


class Salt:
    """
    What users are hashed with.

    Attributes:
        heads: What precedes a key in the hashed bytes, by the key's length in bytes; None where no such key was seen yet. The
            quick way, for whoever has no time for a call, is ``mmh3_32_uintdigest(heads[len(encoded)] + encoded)``; whatever
            that raises, `hash_of` is the answer.
    """

    __slots__ = ("_prefix", "heads")

    def __init__(self, salt: str) -> None:
        self._prefix = bucketing.salt_prefix(salt)
        self.heads: list[Any] = [None]

    def hash_of(self, key: Any) -> int:
        """Return the hash of a user id. Raises `UndecidedError` where there is none."""
        try:
            encoded = _encode(key)
            return mmh3_32_uintdigest(self.heads[len(encoded)] + encoded)
        except (TypeError, LookupError, UnicodeEncodeError):
            return self._hash_of_any(key)

    def hash_of_attribute(self, context: Mapping[str, Any] | None, attribute: str) -> int:
        """Return the hash of another attribute. Raises `UndecidedError` where there is none."""
        try:
            return self.hash_of(None if context is None else context.get(attribute))
        except UndecidedError:
            raise UndecidedError("INVALID_CONTEXT") from None

    def _hash_of_any(self, key: Any) -> int:
        try:
            text = targeting_key(key)
        except ValueError:
            raise UndecidedError("INVALID_CONTEXT") from None
        if text is None:
            raise UndecidedError("TARGETING_KEY_MISSING")
        encoded = text.encode()
        head = self._prefix + bucketing.text_header(len(encoded))
        if len(encoded) < MAX_QUICK:
            self.heads.extend([None] * (len(encoded) + 1 - len(self.heads)))
            self.heads[len(encoded)] = head
        return mmh3_32_uintdigest(head + encoded)
