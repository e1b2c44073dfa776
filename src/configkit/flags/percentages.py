"""Shares of users, in steps of 0.001 %."""

from __future__ import annotations

import math

from configkit.errors import InvalidDocumentError

TOTAL = 100_000
"""Buckets of a percentage: one is 0.001 %."""


def check_percentage(percentage: object, *, pointer: str = "/rollout_percentage") -> float:
    """Return *percentage* rounded to its step of 0.001; anything finer or outside 0 to 100 is refused."""
    if isinstance(percentage, bool) or not isinstance(percentage, int | float) or not math.isfinite(percentage):
        raise InvalidDocumentError("a number from 0 to 100", pointer=pointer)
    if not 0 <= percentage <= 100:
        raise InvalidDocumentError("a number from 0 to 100", pointer=pointer)
    if abs(percentage * 1000 - round(percentage * 1000)) > 1e-6:
        raise InvalidDocumentError("in steps of 0.001", pointer=pointer)
    return round(percentage * 1000) / 1000
