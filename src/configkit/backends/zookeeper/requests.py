"""The one request that kazoo lacks: creating a container node, which the server removes when its last child is gone."""

from __future__ import annotations

from typing import Any

from kazoo.client import KazooClient
from kazoo.protocol.paths import _prefix_root
from kazoo.protocol.serialization import Create2
from kazoo.security import OPEN_ACL_UNSAFE

_CONTAINER_FLAG = 4


class _CreateContainer(Create2):  # type: ignore[misc]
    """As ZooKeeper 3.5.3's `OpCode.createContainer`: the fields and the answer of create2."""

    type = 19


def create_container(client: KazooClient, path: str) -> Any:
    """Begin to create a container node with the client's ACL and return kazoo's asynchronous result."""
    result = client.handler.async_result()
    acl = client.default_acl or OPEN_ACL_UNSAFE
    client._call(_CreateContainer(_prefix_root(client.chroot, path), b"", acl, _CONTAINER_FLAG), result)  # noqa: SLF001  there is no public way to send a request
    return result
