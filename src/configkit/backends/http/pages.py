"""Lists, which the server cuts into pages of 500 at most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from configkit.backends.http.transport import Call, TooLargeError, Transport
from configkit.backends.http.wire import Document, documented, whole
from configkit.models import Page

T = TypeVar("T")

LIMIT = 500
LEAST = 25
"""So many of the largest values fit into one answer, however they are escaped."""


def page(transport: Transport, call: Call, read: Callable[[Document], T], *, limit: int, offset: int) -> Page[T]:
    """Return the part of the list that *call* asks for, however many requests of it that takes."""
    items: list[T] = []
    most = LIMIT
    while True:
        size = min(limit - len(items), most)
        query = {**call.query, "limit": max(size, 1), "offset": offset + len(items)}
        try:
            answer = transport.call(replace(call, query=query)).expect(200)
        except TooLargeError:
            if most == LEAST:
                raise
            most = max(LEAST, most // 4)
            continue
        with documented(call.operation):
            found, total = _page(answer.document(), read)
        items += found[:size]
        if len(items) >= limit or not found or offset + len(items) >= total:
            return Page(tuple(items), total, limit, offset)


def listed(names: frozenset[str] | None) -> list[str] | None:
    """Return *names* as the values of a repeated query parameter; None for all."""
    return None if names is None else sorted(names)


def _page(document: dict[str, Any], read: Callable[[Document], T]) -> tuple[list[T], int]:
    return [read(item) for item in document["items"]], whole(document["total"])
