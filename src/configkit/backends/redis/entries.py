"""
What lies in Redis: text that begins with its own order, so that an older entry never takes the place of a newer one.

An entry is ``ck1 <order> <content>`` under one key. Every change of it is one call about that one key, which therefore
works in a cluster too. The part of a key in braces is what a cluster places it by.
"""

from __future__ import annotations

import re

import redis

from configkit import chance
from configkit.backends.redis.link import Link
from configkit.errors import InvalidDocumentError

MAX_ORDER = 2**53 - 1
"""Lua counts in floating point."""

_MOST_SCANS = 1000

_ENTRY = re.compile(rb"ck1 (\d{1,16}) ")
_NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")

# KEYS: the entry. ARGV: its new order, the new entry, milliseconds, and whether it goes in whatever is there. What is no
# entry (another program's text, another type) is not in the way.
_KEEP = """
if ARGV[4] == '0' then
  local there = redis.pcall('GETRANGE', KEYS[1], 0, 31)
  local order = type(there) == 'string' and string.match(there, '^ck1 (%d+) ')
  if order and tonumber(order) >= tonumber(ARGV[1]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


def check_namespace(namespace: str) -> str:
    """Return *namespace* if keys may begin with it."""
    if not _NAMESPACE.fullmatch(namespace):
        raise InvalidDocumentError("letters, digits and . _ : / -, at most 100", pointer="/REDIS_NAMESPACE")
    return namespace


class Entries:
    """
    The entries of one kind.

    Args:
        prefix: What their keys begin with.
    """

    def __init__(self, link: Link, prefix: str) -> None:
        self._link = link
        self._prefix = prefix

    def load(self, name: str) -> tuple[int, bytes] | None:
        """Return the order and the content of the entry; None: there is none, or something else is in its place."""

        def ask(client: redis.Redis) -> object:
            try:
                return client.get(self._key(name))
            except redis.ResponseError as error:
                if str(error).startswith("WRONGTYPE"):
                    return None
                raise

        there = self._link.call("get", ask)
        found = _ENTRY.match(there) if isinstance(there, bytes) else None
        return None if found is None else (int(found[1]), found.string[found.end() :])

    def keep(self, name: str, order: int, content: bytes, *, seconds: float, replace: bool = False) -> bool:
        """Keep *content* if *order* is higher than what is there, for about *seconds*; return whether it was kept."""
        if not 0 <= order <= MAX_ORDER:
            raise ValueError("an order is a whole number below 2**53")
        entry = b"ck1 %d " % order + content
        milliseconds = max(1, int(seconds * chance.uniform(0.8, 1.0) * 1000))
        arguments = (order, entry, milliseconds, int(replace))
        kept = self._link.call("put", lambda client: client.eval(_KEEP, 1, self._key(name), *arguments))
        return bool(kept)

    def drop(self, name: str) -> None:
        """Forget the entry."""
        self._link.call("drop", lambda client: client.delete(self._key(name)))

    def names(self, *, limit: int) -> list[str]:
        """Return the names of up to *limit* entries, as far as they are among the first million keys that Redis looks at."""
        found: dict[str, None] = {}
        cursor = 0
        for _ in range(_MOST_SCANS):
            cursor, names = self._scan(cursor)
            found.update(dict.fromkeys(names))
            if cursor == 0 or len(found) >= limit:
                break
        return list(found)[:limit]

    def _scan(self, cursor: int) -> tuple[int, list[str]]:
        pattern = self._key("*")
        cursor, keys = self._link.call("scan", lambda client: client.scan(cursor, match=pattern, count=1000))
        begin = len(self._prefix) + 1
        return cursor, [key.decode("utf-8", "replace")[begin:-1] for key in keys if isinstance(key, bytes)]

    def _key(self, name: str) -> str:
        return f"{self._prefix}{{{name}}}"
