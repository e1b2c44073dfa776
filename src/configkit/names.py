"""The names that become paths, each checked once, before any path is built."""

from __future__ import annotations

import re

from configkit.errors import InvalidDocumentError

SHARED = "_shared"
"""The reserved service whose keys lie under every service's own."""

DEFAULT_ENVIRONMENTS = ("development", "staging", "production")

_ENVIRONMENT = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
_SERVICE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?")
_FOREIGN_SERVICE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9_])?")
_INSTANCE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,253}[A-Za-z0-9_])?")
_ZONE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


def check_environment(name: object, *, allowed: frozenset[str] | None = None, pointer: str = "/environment") -> str:
    """
    Return *name* if it is an environment.

    Args:
        allowed: The environments that exist (`SUPPORTED_ENVIRONMENTS`); a typo must not create one.

    Raises:
        InvalidDocumentError: It is malformed or not among *allowed*.
    """
    if not isinstance(name, str) or not _ENVIRONMENT.fullmatch(name):
        raise InvalidDocumentError("an environment is 1-64 of a-z, 0-9, _ and -, such as production", pointer=pointer)
    if allowed is not None and name not in allowed:
        known = ", ".join(sorted(allowed))
        raise InvalidDocumentError(f"not one of: {known} (SUPPORTED_ENVIRONMENTS lists them)", pointer=pointer)
    return name


def check_service_name(name: object, *, foreign: bool = False, pointer: str = "/service_name") -> str:
    """
    Return *name* if it is a service's.

    Args:
        foreign: As the registry has them: with capitals too (services of other systems are read, never written), and
            without the reserved `_shared`, which nobody is an instance of.
    """
    pattern = _FOREIGN_SERVICE if foreign else _SERVICE
    if not isinstance(name, str) or not (pattern.fullmatch(name) or (name == SHARED and not foreign)):
        raise InvalidDocumentError(
            "a service name is 1-100 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit", pointer=pointer
        )
    return name


def check_key(name: object, *, pointer: str = "/key") -> str:
    """Return *name* if it is a configuration key or a flag's name (case-sensitive ASCII)."""
    if not isinstance(name, str) or not _KEY.fullmatch(name) or ".." in name:
        raise InvalidDocumentError(
            "1-255 of A-Z, a-z, 0-9, '.', '_' and '-', beginning with a letter or digit, not ending with '.' or '-', without '..'",
            pointer=pointer,
        )
    return name


def check_instance_id(name: object, *, pointer: str = "/instance_id") -> str:
    """Return *name* if it is an instance id: a key's alphabet plus ':'."""
    if not isinstance(name, str) or not _INSTANCE.fullmatch(name) or ".." in name:
        raise InvalidDocumentError(
            "1-255 of A-Z, a-z, 0-9, '.', '_', ':' and '-', beginning with a letter or digit, not ending with '.', ':' or '-', "
            "without '..'",
            pointer=pointer,
        )
    return name


def check_zone(name: object, *, pointer: str = "/zone") -> str:
    """Return *name* if it is a zone."""
    if not isinstance(name, str) or not _ZONE.fullmatch(name):
        raise InvalidDocumentError("a zone is 1-64 of A-Z, a-z, 0-9, '.', '_' and '-'", pointer=pointer)
    return name


def check_text(text: object, *, limit: int, pointer: str, empty: bool = True) -> str:
    """Return *text* if it is printable text of at most *limit* characters."""
    if not isinstance(text, str) or len(text) > limit or (not text and not empty):
        raise InvalidDocumentError(f"text of {0 if empty else 1}-{limit} characters", pointer=pointer)
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidDocumentError("text without NUL and lone surrogates", pointer=pointer)
    return text
