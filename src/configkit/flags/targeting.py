"""Who a flag is decided for."""

from __future__ import annotations

TARGETING_KEY = "targetingKey"
"""The attribute that is the user id, by OpenFeature's name."""
MAX_USER_ID = 1024


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


def text_of(user_id: object) -> str | None:
    """Return *user_id* as that text; None where there is none, or it cannot be one."""
    try:
        return targeting_key(user_id)
    except ValueError:
        return None
