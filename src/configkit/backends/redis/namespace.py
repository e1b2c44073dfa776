"""Everything under a namespace: looked through, or removed."""

from __future__ import annotations

from collections.abc import Iterator
from operator import methodcaller

from configkit.backends.redis.link import Link


def contents(link: Link, namespace: str) -> list[bytes]:
    """Return every key of *namespace* and what it holds. Raises as `Link.call` does."""
    found: list[bytes] = []
    for key in _keys(link, namespace):
        found.append(key)
        found.append(link.call("look through", methodcaller("dump", key)) or b"")
    return found


def remove(link: Link, namespace: str) -> None:
    """Remove every key of *namespace*. Raises as `Link.call` does."""
    for key in _keys(link, namespace):
        link.call("remove", methodcaller("delete", key))


def _keys(link: Link, namespace: str) -> Iterator[bytes]:
    cursor, seen = 0, set[bytes]()
    while True:
        cursor, keys = link.call("scan", methodcaller("scan", cursor, match=f"{namespace}:*", count=500))
        yield from (key for key in keys if key not in seen)
        seen.update(keys)
        if not cursor:
            return
