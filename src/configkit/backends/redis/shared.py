"""The caches of one Redis, on one link."""

from __future__ import annotations

from dataclasses import dataclass

from configkit.backends.redis.blobs import RedisBlobs
from configkit.backends.redis.cache import RedisCache
from configkit.backends.redis.entries import check_namespace
from configkit.backends.redis.link import Link


@dataclass(frozen=True, slots=True)
class SharedRedis:
    """
    What lies in one Redis.

    Attributes:
        documents: A `Cache`.
        blobs: A `BlobCache`.
    """

    link: Link
    documents: RedisCache
    blobs: RedisBlobs

    @classmethod
    def on(cls, link: Link, namespace: str) -> SharedRedis:
        """Return the caches under *namespace*. Raises `InvalidDocumentError` if that is malformed."""
        check_namespace(namespace)
        return cls(link, RedisCache(link, namespace), RedisBlobs(link, namespace))

    def ping(self) -> None:
        """Return if Redis answers. Raises `UnavailableError` or `AccessDeniedError`."""
        self.link.ping()

    def close(self) -> None:
        """Close the connections. Closing again does nothing."""
        self.link.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child, whose parent keeps the connections."""
        self.link.after_fork()
