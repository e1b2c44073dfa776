"""Flags as JSON documents: what goes over the wire, into caches and into files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from configkit.errors import InvalidDocumentError
from configkit.flags.model import EXTENDED, Flag
from configkit.flags.snapshot import FlagMap, Unread

_TIMES = ("created_at", "updated_at")
_PLAIN = ("name", "environment", "description", "is_enabled", "rollout_percentage", "target_users", "version", *_TIMES)


def document_of(flag: Flag) -> dict[str, Any]:
    """Return *flag* as JSON values; fields beyond the plain form only where they are not as they are by default."""
    shown = {name: getattr(flag, name) for name in _PLAIN}
    shown["target_users"] = list(flag.target_users)
    for name in _TIMES:
        if shown[name] is not None:
            shown[name] = shown[name].isoformat()
    return {**shown, **extension_of(flag)}


def extension_of(flag: Flag) -> dict[str, Any]:
    """Return the fields of *flag* beyond the plain form that are not as they are by default, as JSON values."""
    return {name: json_of(value) for name, value in flag.extended().items()}


def flag_of(document: Mapping[str, Any]) -> Flag:
    """
    Return the flag that *document* is; fields that are not known here are passed over.

    Raises:
        InvalidDocumentError: Something is missing, or not allowed.
    """
    try:
        plain = {name: document.get(name) for name in _PLAIN}
        plain["target_users"] = tuple(document["target_users"])
        for name in _TIMES:
            plain[name] = None if document.get(name) is None else datetime.fromisoformat(document[name])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidDocumentError(f"no document of a flag ({type(error).__name__})") from None
    if type(plain["version"]) is not int:
        raise InvalidDocumentError("a whole number", pointer="/version")
    return Flag(**plain, **{name: document[name] for name in EXTENDED if name in document})  # type: ignore[arg-type]


def flags_of(documents: Iterable[Mapping[str, Any]]) -> FlagMap:
    """
    Return the flags that *documents* are, by name; what else is in each is looked at when the flag is.

    Raises:
        InvalidDocumentError: One has no name or no version.
    """
    flags = {}
    for document in documents:
        try:
            name, version = document["name"], document["version"]
        except (KeyError, TypeError) as error:
            raise InvalidDocumentError(f"no document of a flag ({type(error).__name__})") from None
        if type(name) is not str or type(version) is not int:
            raise InvalidDocumentError("a text and a whole number", pointer="/name" if type(name) is not str else "/version")
        flags[name] = Unread(version, flag_of, document)
    return FlagMap(flags)


def json_of(value: Any) -> Any:
    """Return *value* with JSON's own types in the place of times, tuples and other mappings."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: json_of(item) for name, item in value.items()}
    return [json_of(item) for item in value] if isinstance(value, list | tuple) else value
