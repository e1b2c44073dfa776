"""The `BlobCache` in Redis."""

from __future__ import annotations

from configkit.backends.redis.entries import Entries
from configkit.backends.redis.link import Link


class RedisBlobs:
    """
    A `BlobCache` that every process of a deployment shares.

    Every call raises `UnavailableError` where Redis does not answer by the deadline, and `AccessDeniedError` where it
    refuses the credentials.
    """

    def __init__(self, link: Link, namespace: str) -> None:
        self._entries = Entries(link, f"{namespace}:blob:")

    def load(self, name: str) -> tuple[int, bytes] | None:
        """Return the version and the bytes kept as *name*; None: nothing is."""
        return self._entries.load(name)

    def keep(self, name: str, version: int, content: bytes, *, seconds: float) -> bool:
        """Keep *content* for up to *seconds* if *version* is newer than what is kept; return whether it was."""
        return self._entries.keep(name, version, content, seconds=seconds)

    def drop(self, name: str) -> None:
        """Forget *name*."""
        self._entries.drop(name)
