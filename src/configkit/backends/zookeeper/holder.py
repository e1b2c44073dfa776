"""
The registry of servers: what registers over REST has no session, so the database records it and some server holds its
node.

ZooKeeper says who lives, the database has the record. Each server compares the two every two seconds, and whenever a
watch fires: a recorded instance without a node is adopted (creating a node is atomic, so one server does), a node that
this server holds without a record is removed. So what a dead server held is another's as soon as its session ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from configkit import chance
from configkit.backends.zookeeper.holdings import Others
from configkit.backends.zookeeper.plan import planned
from configkit.backends.zookeeper.reading import Node
from configkit.backends.zookeeper.registry import ZooKeeperRegistry, summed_up
from configkit.backends.zookeeper.session import translating
from configkit.errors import AccessDeniedError, BackendError, ConfigKitError, NotFoundError, UnavailableError
from configkit.models import HealthCheck, Origin, ServiceInstance, ServiceSummary
from configkit.ports import RegistryRecords, ServiceRegistryClient

logger = logging.getLogger("configkit.zookeeper")

EVERY_SECONDS = 2.0
_PAUSE_SECONDS = 0.25
_NODE_SECONDS = 1.0
_RECORDS_AWAY_SECONDS = 5.0


class Holder:
    """
    A `ServiceRegistryClient` and its `RegistryRecords` for a server, over records in a database and nodes in ZooKeeper.

    It holds nodes for others from the first `sweep` on: a process that does not sweep is no server.

    Args:
        registry: The records' own client.
        living: Returns every recorded instance whose lease lives.
    """

    def __init__(
        self,
        zookeeper: ZooKeeperRegistry,
        registry: ServiceRegistryClient,
        records: RegistryRecords,
        living: Callable[[], list[ServiceInstance]],
    ) -> None:
        self._zookeeper = zookeeper
        self._holdings = zookeeper.keeper.holdings
        self._registry = registry
        self._records = records
        self._living = living
        self._troubled = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._work = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._records_from = 0.0
        self._end_listening = self._zookeeper.listen(lambda _: self._work.set())

    def register(
        self, instance: ServiceInstance, *, ttl_seconds: float | None = None, origin: Origin
    ) -> tuple[ServiceInstance, bool]:
        """Record *instance*, then hold its node; while ZooKeeper is away, the node comes later."""
        listed, created = self._registry.register(instance, ttl_seconds=ttl_seconds, origin=origin)
        self._mend("register", lambda end: self._place(listed, end))
        return listed, created

    def deregister(self, service_name: str, instance_id: str, *, origin: Origin) -> None:
        """Remove record and node; also the node of a process that registered itself. Raises `NotFoundError`."""
        try:
            self._registry.deregister(service_name, instance_id, origin=origin)
        except NotFoundError:
            if not self._registers_itself(service_name, instance_id):
                raise
            self._zookeeper.deregister(service_name, instance_id, origin=origin)
            return
        path = self._zookeeper.tree.of(service_name, instance_id)
        self._mend("deregister", lambda end: self._holdings.release(path, end))

    def heartbeat(self, service_name: str, instance_id: str) -> datetime:
        """Renew the recorded lease, or that of a process that registered itself. Raises `NotFoundError`."""
        try:
            return self._registry.heartbeat(service_name, instance_id)
        except NotFoundError as absent:
            try:
                return self._zookeeper.heartbeat(service_name, instance_id)
            except (NotFoundError, UnavailableError):
                raise absent from None

    def instances(self, service_name: str) -> list[ServiceInstance]:
        """
        Return every listed instance by id; empty for an unknown service.

        While the database is away or refuses us, the nodes alone say who is there, and it is asked every five seconds only. Without
        ZooKeeper that is not known at all.
        """
        with translating("list instances"):
            nodes = self._zookeeper.reader.service(service_name, self._zookeeper.session.end_of_call())
        return self._merged(nodes, lambda: self._registry.instances(service_name))

    def services(self) -> list[ServiceSummary]:
        """Return the services that have instances, by name."""
        return summed_up(self._merged(self._zookeeper.nodes(), self._living))

    def due_checks(self, *, interval: float, limit: int = 100) -> list[ServiceInstance]:
        """Claim recorded instances whose last check began at least *interval* seconds ago."""
        return self._records.due_checks(interval=interval, limit=limit)

    def record_check(self, service_name: str, check: HealthCheck, status: str) -> None:
        """Keep what a check found; the node follows."""
        self._records.record_check(service_name, check, status)

    def sweep(self, *, unhealthy_for: float = 600.0) -> list[tuple[str, str]]:
        """Remove the records of what has died, and begin to hold nodes; those of the removed records follow at once."""
        self._start()
        swept = self._records.sweep(unhealthy_for=unhealthy_for)
        if swept:
            self._work.set()
        return swept

    def agree(self) -> None:
        """
        Make the nodes agree with the records, as far as that is this server's to do.

        Raises:
            UnavailableError: The database or ZooKeeper cannot be reached; nothing was concluded from that.
        """
        held = self._holdings.held()
        recorded = self._recorded(self._living())
        end = self._zookeeper.session.end_of_call()
        plan = planned(
            recorded=recorded,
            held={path: holding.content for path, holding in held.items()},
            present=self._present(recorded, end),
        )
        with translating("hold nodes"):
            for path in plan.release:
                self._holdings.release(path, end, only=held[path])
            for path in plan.rewrite:
                self._holdings.rewrite(path, lambda _, path=path: recorded[path], end)  # type: ignore[misc]
        if plan.adopt:
            # Whoever was deregistered since the records were read must not come back.
            recorded = self._recorded(self._living())
            self._holdings.adopt({path: recorded[path] for path in plan.adopt if path in recorded})

    def ping(self) -> None:
        """Return if ZooKeeper answers. Raises `UnavailableError` or `AccessDeniedError`."""
        self._zookeeper.ping()

    def close(self) -> None:
        """End the session: other servers adopt what was held here, at once."""
        self._closed = True
        self._work.set()
        self._end_listening()
        if self._thread is not None:
            self._thread.join(0.5)
        self._zookeeper.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child, holding nothing. The records' own backend is not this one's to renew."""
        self._zookeeper.after_fork()
        self._begin_anew()

    def _place(self, listed: ServiceInstance, end: float) -> None:
        path = self._zookeeper.tree.of(listed.service_name, listed.instance_id)
        content = self._content(listed)
        self._holdings.place(path, lambda _: content, end, others=Others.REWRITE)

    def _content(self, record: ServiceInstance) -> bytes:
        """Return what the node says of a record: nothing that changes with every check."""
        return self._zookeeper.written(replace(record, last_health_check=None), held=True)

    def _recorded(self, living: list[ServiceInstance]) -> dict[str, bytes]:
        of = self._zookeeper.tree.of
        return {of(record.service_name, record.instance_id): self._content(record) for record in living}

    def _present(self, recorded: dict[str, bytes], end: float) -> set[str]:
        tree = self._zookeeper.tree
        services = sorted({tree.named(path)[0] for path in recorded})
        with translating("hold nodes"):
            found = self._zookeeper.reader.ids(services, end)
        return {tree.of(service, instance_id) for service, ids in found.items() for instance_id in ids}

    def _merged(self, nodes: list[Node], read_records: Callable[[], list[ServiceInstance]]) -> list[ServiceInstance]:
        """Return who is listed: who holds a node for himself, and who is recorded, with or without a node for now."""
        listed = {node.path: self._zookeeper.shown(node) for node in nodes if not node.held}
        records = None
        if time.monotonic() >= self._records_from:
            try:
                records = read_records()
            except (AccessDeniedError, UnavailableError):
                self._records_from = time.monotonic() + _RECORDS_AWAY_SECONDS
        if records is None:
            records = [node.instance for node in nodes if node.held]
        for record in records:
            listed.setdefault(self._zookeeper.tree.of(record.service_name, record.instance_id), record)
        return sorted(listed.values(), key=lambda instance: (instance.service_name, instance.instance_id))

    def _registers_itself(self, service_name: str, instance_id: str) -> bool:
        """Whether the instance has a node that no server holds for it."""
        with translating("deregister"):
            nodes = self._zookeeper.reader.service(service_name, self._zookeeper.session.end_of_call())
        return any(node.instance.instance_id == instance_id and not node.held for node in nodes)

    def _mend(self, operation: str, act: Callable[[float], object]) -> None:
        """Bring the node in line with the record at once, if ZooKeeper is there; else the next comparison does."""
        if not self._zookeeper.session.id:
            return
        try:
            with translating(operation):
                act(self._zookeeper.session.end_of_call(min(_NODE_SECONDS, self._zookeeper.session.deadline)))
        except BackendError as error:
            logger.warning("the record is written, its node in ZooKeeper follows: %s", error)
            self._work.set()

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="configkit-zookeeper-holder", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            began = time.monotonic()
            self._work.clear()
            try:
                self.agree()
            except ConfigKitError as error:
                self._note(error)
            except Exception as error:
                logger.exception("nodes and records could not be compared")
                self._note(error)
            else:
                self._note(None)
            self._work.wait(EVERY_SECONDS * chance.uniform(0.8, 1.0))
            while not self._closed and (left := began + _PAUSE_SECONDS - time.monotonic()) > 0:
                time.sleep(left)

    def _note(self, error: Exception | None) -> None:
        """Say once that there is trouble, and once that it is over."""
        if error is not None and not self._troubled and not self._closed:
            logger.warning("nodes and records cannot be compared for now: %s", error)
        elif error is None and self._troubled:
            logger.warning("nodes and records agree again")
        self._troubled = error is not None
