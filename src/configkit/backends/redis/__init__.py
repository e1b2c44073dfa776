"""What all processes of a deployment share without it being the truth: documents, flag sets and lists, in Redis."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from configkit.backends.redis.address import Address, Tls
from configkit.errors import MissingExtraError

if TYPE_CHECKING:
    from configkit.backends.redis.shared import SharedRedis

__all__ = ["Address", "Tls", "open_redis"]


def open_redis(address: Address, *, namespace: str = "configkit", deadline: float = 0.25) -> SharedRedis:
    """
    Return the caches in one Redis. Nothing is sent yet.

    Args:
        namespace: What every key begins with.
        deadline: Seconds within which every call is answered.

    Raises:
        MissingExtraError: The extra ``redis`` is not installed.
        InvalidDocumentError: The namespace is malformed.
    """
    if find_spec("redis") is None:
        raise MissingExtraError("redis", "the shared cache in Redis")
    from configkit.backends.redis.link import Link  # noqa: PLC0415  the driver takes a while to import
    from configkit.backends.redis.shared import SharedRedis  # noqa: PLC0415

    return SharedRedis.on(Link(address, deadline=deadline), namespace)
