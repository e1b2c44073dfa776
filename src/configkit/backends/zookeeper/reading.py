"""Reading who is there: every node by itself, so that a bad one costs nobody else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kazoo import exceptions
from kazoo.protocol.states import ZnodeStat

from configkit.backends.zookeeper import curator
from configkit.backends.zookeeper.session import LostError, Session
from configkit.backends.zookeeper.tree import Tree
from configkit.backends.zookeeper.watches import Watches
from configkit.errors import InvalidDocumentError
from configkit.models import ServiceInstance
from configkit.names import check_service_name

logger = logging.getLogger("configkit.zookeeper")

_REMEMBERED_BAD = 1024


@dataclass(frozen=True, slots=True)
class Node:
    """
    An instance as its node describes it.

    Attributes:
        ttl: The length of the lease that its own process keeps; None: it has none.
        held: A server holds the node for it.
    """

    path: str
    instance: ServiceInstance
    ttl: float | None
    held: bool


class Reader:
    """Reads services, each time from ZooKeeper."""

    def __init__(self, session: Session, tree: Tree, watches: Watches) -> None:
        self._session = session
        self._tree = tree
        self._watches = watches
        self._bad: dict[str, int] = {}

    def service(self, service: str, end: float) -> list[Node]:
        """Return the nodes of *service* by id, after everything that was written before; its changes are told from now on."""
        return sorted(self.services([service], end), key=lambda node: node.instance.instance_id)

    def services(self, services: Iterable[str], end: float) -> list[Node]:
        """Return the nodes of *services*, asking for all of them at once."""
        wanted = list(services)
        while True:
            try:
                return self._read(wanted, end)
            except LostError:
                self._session.pause(end)

    def names(self, end: float) -> list[str]:
        """Return the names of all services, those without instances too."""
        children = self._insist(lambda client: client.get_children_async(self._tree.base or "/"), end)
        return sorted(child for child in children or () if _is_service(child))

    def ids(self, services: Iterable[str], end: float) -> dict[str, set[str]]:
        """Return the names of the nodes of each service; its changes are told from now on."""
        wanted = list(services)
        while True:
            try:
                return {service: set(children) for service, children in self._children(wanted, end)}
            except LostError:
                self._session.pause(end)

    def _read(self, services: list[str], end: float) -> list[Node]:
        begun = []
        for service, children in self._children(services, end):
            watch = self._watches.of(service)
            client, _ = self._session.connected(end)
            for child in children:
                path = self._tree.of(service, child)
                begun.append((service, child, client.get_async(path, watch=watch)))
        nodes = (self._node(service, child, self._content(result, service, child, end)) for service, child, result in begun)
        return [node for node in nodes if node is not None]

    def _children(self, services: list[str], end: float) -> list[tuple[str, list[str]]]:
        """Return the children of each service, watching first. The sync before them goes on the same, ordered connection."""
        client, _ = self._session.connected(end)
        client.sync_async(self._tree.base or "/")
        begun = []
        for service in services:
            watch, path = self._watches.of(service), self._tree.of_service(service)
            begun.append((service, client.get_children_async(path, watch=watch)))
        return [(service, self._listed(service, result, end)) for service, result in begun]

    def _listed(self, service: str, result: Any, end: float) -> list[str]:
        path, watch = self._tree.of_service(service), self._watches.of(service)
        while True:
            try:
                children: list[str] = self._session.answer(end, result)
            except exceptions.NoNodeError:
                client, _ = self._session.connected(end)
                if self._session.answer(end, client.exists_async(path, watch=watch)) is None:
                    return []
                result = client.get_children_async(path, watch=watch)
            else:
                return children

    def _content(self, result: Any, service: str, child: str, end: float) -> tuple[bytes, ZnodeStat] | None:
        try:
            found: tuple[bytes, ZnodeStat] = self._session.answer(end, result)
        except exceptions.NoNodeError:
            return None
        except exceptions.NoAuthError:
            self._say(self._tree.of(service, child), 0, "its ACL does not let it be read")
            return None
        return found

    def _node(self, service: str, child: str, found: tuple[bytes, ZnodeStat] | None) -> Node | None:
        if found is None:
            return None
        content, stat = found
        path = self._tree.of(service, child)
        try:
            instance = curator.read(service, child, content)
        except ValueError as error:
            self._say(path, stat.mzxid, str(error))
            return None
        return Node(path, instance, curator.lease_of(content), curator.is_held(content))

    def _say(self, path: str, change: int, reason: str) -> None:
        """Log once that a node cannot be read, and again only when it has changed."""
        if self._bad.get(path) != change:
            if len(self._bad) >= _REMEMBERED_BAD:
                self._bad.clear()
            self._bad[path] = change
            logger.warning("%s describes no instance and is left out: %s", path, reason)

    def _insist(self, request: Callable[[Any], Any], end: float) -> list[str] | None:
        try:
            children: list[str] = self._session.insist(end, request)
        except exceptions.NoNodeError:
            return None
        return children


def _is_service(name: str) -> bool:
    try:
        check_service_name(name, foreign=True)
    except InvalidDocumentError:
        return False
    return True
