"""
The registry in ZooKeeper, through kazoo.

Nodes are Apache Curator's (`curator`), so that JVM services find Python ones and the reverse. A process's own instances
live with its session (`session`, `holdings`, `keeper`); what registered over REST has none, and some server holds its
node (`holder`).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from configkit.backends.zookeeper.security import Security
from configkit.errors import MissingExtraError

if TYPE_CHECKING:
    from configkit.backends.zookeeper.registry import ZooKeeperRegistry

__all__ = ["SERVER_SESSION_SECONDS", "Security", "open_zookeeper"]

SERVER_SESSION_SECONDS = 6.0
"""A server's session should be no longer than this, so that what it held is another's within ten seconds of its death."""


def open_zookeeper(
    hosts: str,
    base_path: str = "/services",
    *,
    connection_timeout: float = 10.0,
    session_timeout: float = 10.0,
    deadline: float = 5.0,
    security: Security | None = None,
    payload_class: str | None = None,
) -> ZooKeeperRegistry:
    """
    Return the registry under *base_path*; it connects in the background, so that a ZooKeeper that is down delays nobody.

    Args:
        hosts: ``host:port`` of the servers, separated by commas; a path behind them is a chroot.
        connection_timeout: Seconds for connecting to one server and for its greeting, 3 at most: trying again is cheap.
        session_timeout: Seconds until the nodes of a process that has crashed are gone; the server may grant another.
        deadline: Seconds within which every call is answered.
        payload_class: The Java class that typed JVM readers expect payloads to be, such as
            ``org.springframework.cloud.zookeeper.discovery.ZookeeperInstance``.

    Raises:
        InvalidDocumentError: *hosts* names no server.
        MissingExtraError: The extra ``zookeeper`` is not installed.
    """
    if find_spec("kazoo") is None:
        raise MissingExtraError("zookeeper", "the registry in ZooKeeper")
    from configkit.backends.zookeeper.opening import open_registry  # noqa: PLC0415

    return open_registry(
        hosts,
        base_path,
        connection_timeout=connection_timeout,
        session_timeout=session_timeout,
        deadline=deadline,
        security=security or Security(),
        payload_class=payload_class,
    )
