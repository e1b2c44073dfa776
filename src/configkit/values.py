"""JSON values: what may be stored, how it becomes text, and how it is handed out unharmed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from configkit.errors import InvalidDocumentError

JsonValue = Any  # bool | int | float | str | list[JsonValue] | dict[str, JsonValue], and null inside the last two

MAX_BYTES = 512 * 1024
MAX_DEPTH = 64
MAX_DIGITS = 300
MASK = "********"
"""What people see in the place of a secret. It is refused as a value, so that a shown list is never written back."""

_TOO_LARGE = 10**MAX_DIGITS

SCALARS = (str, bool, int, float)


def encode(value: JsonValue, *, pointer: str = "/value") -> str:
    """
    Return *value* as compact JSON text.

    Raises:
        InvalidDocumentError: It is null, the mask, not JSON (NaN, infinity, lone surrogates, keys that are not
            strings, a foreign type), nested deeper than 64, or larger than 512 KiB.
    """
    if value is None:
        raise InvalidDocumentError("null is no value; delete the key instead", pointer=pointer)
    if value == MASK:
        raise InvalidDocumentError("this is the mask of a secret, not a value; send the secret itself", pointer=pointer)
    _check(value, MAX_DEPTH, pointer)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=dict)
    if len(text) > MAX_BYTES or len(text.encode()) > MAX_BYTES:
        raise InvalidDocumentError("larger than 512 KiB as JSON; store it elsewhere and configure its address", pointer=pointer)
    return text


def decode(text: str) -> JsonValue:
    """Return the value of JSON *text* that `encode` made."""
    return json.loads(text)


def copy(value: JsonValue) -> JsonValue:
    """Return *value*, or a deep copy where it could be changed."""
    if isinstance(value, dict):
        return {key: copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy(item) for item in value]
    return value


def _check(value: object, depth: int, pointer: str) -> None:
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise InvalidDocumentError("text with a lone surrogate cannot be stored as UTF-8", pointer=pointer) from None
    elif value is None or isinstance(value, bool):
        pass
    elif isinstance(value, int):
        if abs(value) >= _TOO_LARGE:
            raise InvalidDocumentError(f"an integer of more than {MAX_DIGITS} digits; send it as a string", pointer=pointer)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidDocumentError("NaN and infinity are not JSON; send a finite number or a string", pointer=pointer)
    elif depth == 0:
        raise InvalidDocumentError(f"nested deeper than {MAX_DEPTH} levels; flatten it", pointer=pointer)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidDocumentError("object keys must be strings", pointer=pointer)
            _check(key, 0, pointer)
            _check(item, depth - 1, pointer)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item, depth - 1, pointer)
    else:
        raise InvalidDocumentError(f"{type(value).__name__} is not a JSON type", pointer=pointer)
