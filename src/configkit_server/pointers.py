"""JSON pointers (RFC 6901) to what is wrong, made only of names that are safe to show."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SHOWABLE = re.compile(r"[A-Za-z_]{1,40}(?:\[\])?")


def showable(name: str) -> bool:
    """
    Whether a caller's own name for something may stand in an answer, so that a misspelt one is found.

    Only short ones of plain letters: whatever has digits or signs may be a secret in the wrong place.
    """
    return _SHOWABLE.fullmatch(name) is not None


def pointer_to(location: Iterable[str | int]) -> str:
    """Return the pointer to *location*, cut before the first part that is not safe to show."""
    pointer = ""
    for part in location:
        if isinstance(part, str) and not showable(part):
            break
        pointer += f"/{part}"
    return pointer
