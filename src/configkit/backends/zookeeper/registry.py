"""Who is there, in ZooKeeper: each instance an ephemeral node of the session of the process that registered it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from kazoo import exceptions

from configkit.backends.zookeeper import curator
from configkit.backends.zookeeper.keeper import Keeper
from configkit.backends.zookeeper.reading import Node, Reader
from configkit.backends.zookeeper.session import LostError, Session, translating
from configkit.backends.zookeeper.tree import Tree
from configkit.backends.zookeeper.watches import Watches
from configkit.errors import NotFoundError
from configkit.models import UNKNOWN, HealthCheck, Origin, ServiceInstance, ServiceSummary, utcnow
from configkit.names import check_instance_id, check_service_name
from configkit.registry.lease import lease_seconds


class ZooKeeperRegistry:
    """
    A `ServiceRegistryClient` on ZooKeeper, in the layout of Apache Curator's x-discovery; also the `RegistryRecords` of
    processes that check themselves.

    What is registered here belongs to this process's session: it is there again after the session has expired, and gone
    when the process is, after a session timeout at the latest. Its lease is counted in this process, and one that is not
    renewed is ended by this process; a heartbeat from elsewhere reaches it through the node. The end of the lease of
    another process's instance is not known: it is shown as one length from now, since that process keeps it.

    Args:
        payload_class: The Java class that JVM readers expect payloads to be.
    """

    def __init__(self, session: Session, base_path: str, *, payload_class: str | None = None) -> None:
        self.session = session
        self.tree = Tree(session, base_path)
        self.watches = Watches(session)
        self.keeper = Keeper(session, self.tree)
        self.reader = Reader(session, self.tree, self.watches)
        self.payload_class = payload_class

    def register(
        self,
        instance: ServiceInstance,
        *,
        ttl_seconds: float | None = None,
        origin: Origin,  # noqa: ARG002  ZooKeeper keeps no author
    ) -> tuple[ServiceInstance, bool]:
        """List *instance*, replacing what its id was before; return it and whether it is new."""
        check_service_name(instance.service_name)
        ttl = lease_seconds(ttl_seconds, instance.health_check_url is not None)
        listed = _listed(instance)
        path = self.tree.of(listed.service_name, listed.instance_id)
        with translating("register"):
            content, created = self.keeper.holdings.place(
                path, lambda before: self._written(_carried(listed, before), ttl), self.session.end_of_call()
            )
        return self.shown(self._node(path, content)), created

    def deregister(self, service_name: str, instance_id: str, *, origin: Origin) -> None:  # noqa: ARG002  as above
        """Remove the instance. Raises `NotFoundError` if it is not listed, or another process has taken it over."""
        path = self._path(service_name, instance_id)
        with translating("deregister"):
            removed = self.keeper.holdings.release(path, self.session.end_of_call())
        if not removed:
            raise _not_registered(service_name, instance_id)

    def heartbeat(self, service_name: str, instance_id: str) -> datetime:
        """Renew the lease and return its new end. Raises `NotFoundError` if there is none."""
        path = self._path(service_name, instance_id)
        with translating("heartbeat"):
            ttl = self._renew(path, self.session.end_of_call())
        if ttl is None:
            raise _not_registered(service_name, instance_id)
        if ttl == 0:
            raise NotFoundError(f"{service_name}/{instance_id} has no lease: nobody has to keep it listed")
        return utcnow() + timedelta(seconds=ttl)

    def instances(self, service_name: str) -> list[ServiceInstance]:
        """Return every listed instance by id; empty for an unknown service."""
        check_service_name(service_name, foreign=True)
        with translating("list instances"):
            nodes = self.reader.service(service_name, self.session.end_of_call())
        return [self.shown(node) for node in nodes]

    def services(self) -> list[ServiceSummary]:
        """Return the services that have instances, by name."""
        return summed_up([self.shown(node) for node in self.nodes()])

    def nodes(self) -> list[Node]:
        """Return every instance of every service."""
        end = self.session.end_of_call()
        with translating("list services"):
            return self.reader.services(self.reader.names(end), end)

    def record_check(self, service_name: str, check: HealthCheck, status: str) -> None:
        """Keep in the node what a check found, where the status has changed; an instance that is gone is ignored."""
        path = self._path(service_name, check.instance_id)

        def changed(content: bytes) -> bytes:
            node = self._node(path, content)
            if node.instance.status == status:
                return content
            checked = replace(node.instance, status=status, last_health_check=_now())
            return self._written(checked, node.ttl, held=node.held)

        with translating("record a check"):
            self.keeper.holdings.rewrite(path, changed, self.session.end_of_call())

    def due_checks(self, *, interval: float, limit: int = 100) -> list[ServiceInstance]:  # noqa: ARG002  nothing is due
        """Return nothing: a process that registers itself checks itself."""
        return []

    def sweep(self, *, unhealthy_for: float = 600.0) -> list[tuple[str, str]]:  # noqa: ARG002  nothing is swept
        """Return nothing: each process ends its own leases, and ZooKeeper removes who has died."""
        return []

    def listen(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """
        Call *listener* with the name of each service whose instances have changed; the answer ends it.

        Only services that this process has read are told of: with each reading, anew.
        """
        return self.watches.listen(listener)

    def ping(self) -> None:
        """Return if ZooKeeper answers. Raises `UnavailableError` or `AccessDeniedError`."""
        with translating("ping"):
            self.session.insist(self.session.end_of_call(), lambda client: client.exists_async(self.tree.base or "/"))

    def close(self) -> None:
        """End the session: what was registered here is gone. Within a second, or else when the session expires."""
        self.watches.close()
        self.keeper.close()
        self.session.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child, with a session of its own; what is registered stays the parent's."""
        self.session.after_fork()
        self.keeper.after_fork()
        self.watches.after_fork()

    def written(self, instance: ServiceInstance, *, held: bool) -> bytes:
        """Return the content of the node of an instance without a lease of its own."""
        return self._written(instance, None, held=held)

    def _path(self, service_name: str, instance_id: str) -> str:
        check_service_name(service_name, foreign=True)
        return self.tree.of(service_name, check_instance_id(instance_id))

    def _written(self, instance: ServiceInstance, ttl: float | None, *, held: bool = False) -> bytes:
        return curator.written(instance, ttl=ttl, held=held, payload_class=self.payload_class)

    def _node(self, path: str, content: bytes) -> Node:
        instance = curator.read(*self.tree.named(path), content)
        return Node(path, instance, curator.lease_of(content), curator.is_held(content))

    def shown(self, node: Node) -> ServiceInstance:
        """Return the instance with the end of its lease."""
        if node.ttl is None:
            return node.instance
        holding = self.keeper.holdings.find(node.path)
        left = node.ttl if holding is None else max(holding.ends - time.monotonic(), 0.0)
        return replace(node.instance, expires_at=utcnow() + timedelta(seconds=left))

    def _renew(self, path: str, end: float) -> float | None:
        """Return the length of the lease that was renewed; 0: the node has none; None: there is no node."""
        while True:
            try:
                content, stat = self.tree.get(path, end)
                ttl = curator.lease_of(content)
                if ttl is None:
                    return 0
                holding = self.keeper.holdings.find(path)
                if holding is not None and holding.session == stat.ephemeralOwner and self.keeper.holdings.renew(holding):
                    return ttl
                self.tree.set(path, content, stat.version, end)
            except exceptions.NoNodeError:
                if not self._is_due(path):
                    return None
                self.session.pause(end)
            except exceptions.BadVersionError:
                continue
            except LostError:
                self.session.pause(end)
            else:
                return ttl

    def _is_due(self, path: str) -> bool:
        """Whether the node is missing only until the keeper has created it in a new session."""
        holding = self.keeper.holdings.find(path)
        return holding is not None and holding.session != self.session.id


def summed_up(instances: list[ServiceInstance]) -> list[ServiceSummary]:
    """Return how many instances of each service there are, by name."""
    available: defaultdict[str, list[bool]] = defaultdict(list)
    for instance in instances:
        available[instance.service_name].append(instance.available)
    return [ServiceSummary(service, len(available[service]), sum(available[service])) for service in sorted(available)]


def _now() -> datetime:
    """Return the time as a node keeps it, in whole milliseconds."""
    return curator.from_millis(curator.to_millis(utcnow()))


def _listed(instance: ServiceInstance) -> ServiceInstance:
    return replace(
        instance,
        status=UNKNOWN,
        metadata=MappingProxyType(dict(instance.metadata)),
        registered_at=_now(),
        last_health_check=None,
        expires_at=None,
    )


def _carried(listed: ServiceInstance, before: bytes | None) -> ServiceInstance:
    """Return *listed* with what was found of the same health check URL, if it was registered before."""
    if before is None or listed.health_check_url is None:
        return listed
    try:
        known = curator.read(listed.service_name, listed.instance_id, before)
    except ValueError:
        return listed
    if known.health_check_url != listed.health_check_url:
        return listed
    return replace(listed, status=known.status, last_health_check=known.last_health_check)


def _not_registered(service_name: str, instance_id: str) -> NotFoundError:
    return NotFoundError(f"{service_name}/{instance_id} is not registered (any more); register it again")
