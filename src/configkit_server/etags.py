"""
Entity tags and preconditions (RFC 9110, sections 8.8.3 and 13).

A tag covers the layer a value comes from, its version, and whether it is masked: ``"asr-service:7"``,
``"_shared:2:masked"``. A precondition is about the state, so that ``If-Match`` accepts the masked and the plain tag of a
version alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TAGS = re.compile(r'\s*(?:(W/)?"([\x21\x23-\x7e]*)"\s*(?:,\s*|$))')


def make(layer: str, version: int, *, masked: bool = False) -> str:
    """Return the strong tag, quotes included."""
    return f'"{layer}:{version}:masked"' if masked else f'"{layer}:{version}"'


def header(tag: str) -> tuple[bytes, bytes]:
    """Return *tag* as a header."""
    return (b"etag", tag.encode("latin-1"))


def values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return the whole list of a header that may be repeated, or None."""
    found = [value.decode("latin-1") for key, value in headers if key == name]
    return ", ".join(found) if found else None


def matches(if_none_match: str, tag: str) -> bool:
    """Whether ``If-None-Match`` names *tag*, by weak comparison; a malformed list names nothing."""
    if if_none_match == tag or if_none_match.strip() == "*":
        return True
    tags = _parse(if_none_match)
    return tags is not None and any(f'"{opaque}"' == tag for _, opaque in tags)


def expected_versions(if_match: str, layer: str) -> frozenset[int] | None:
    """
    Return the versions of *layer* that ``If-Match`` accepts; None: any.

    Weak tags, tags of other layers, foreign tags, and what is no list of tags accept nothing: nothing is written then.
    """
    if if_match.strip() == "*":
        return None
    tags = _parse(if_match)
    pattern = re.compile(re.escape(layer) + r":([1-9][0-9]{0,17})(?::masked)?")
    found = (pattern.fullmatch(opaque) for weak, opaque in tags or () if not weak)
    return frozenset(int(match[1]) for match in found if match)


def _parse(text: str) -> list[tuple[bool, str]] | None:
    tags, position = [], 0
    while position < len(text):
        match = _TAGS.match(text, position)
        if match is None:
            return None
        tags.append((match[1] is not None, match[2]))
        position = match.end()
    return tags or None
