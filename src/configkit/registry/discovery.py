"""Discovery: who can be called, and who is called next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from configkit import chance
from configkit.calls import Calls
from configkit.errors import NoInstanceError, UnavailableError
from configkit.models import Event, Instances, ServiceInstance, ServiceSummary
from configkit.ports import BlobCache, ServiceRegistryClient
from configkit.registry.balancing import choose, in_zone
from configkit.registry.directory import Directory
from configkit.registry.remembered import Callback
from configkit.registry.shared import SharedLists


class Services:
    """
    The peers of this process.

    The first question about a service reads its list under the calls' deadline; from then on it is answered from
    memory, and the list is kept up to date for five minutes after the last question. Where the registry cannot be
    reached the last list is served, marked stale, for *max_stale* seconds.

    Args:
        calls: Runs the calls of *client* under a deadline.
        max_stale: Seconds that a list is served after it was read last.
        refresh: Seconds between two reads of a list with short leases, which end without an event.
        blobs: Where processes share the last lists; None: nowhere.
        revive: Called before a read that may need threads, so that a forked child starts its own.
    """

    def __init__(
        self,
        client: ServiceRegistryClient,
        calls: Calls,
        *,
        max_stale: float = 60.0,
        refresh: float = 2.0,
        blobs: BlobCache | None = None,
        revive: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._calls = calls
        self._max_stale = max_stale
        self._revive = revive
        remembered = None if blobs is None else SharedLists(blobs, seconds=max_stale)
        self._directory = Directory(client, calls, max_stale=max_stale, refresh=refresh, remembered=remembered)
        self._summaries: tuple[float, tuple[ServiceSummary, ...]] | None = None
        self._load: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    @property
    def stale(self) -> bool:
        """Whether some list could not be read again."""
        return self._directory.stale

    def instances(self, name: str, *, fresh: bool = False) -> Instances:
        """
        Return every listed instance of the service *name*, whatever its health; none for an unknown service.

        Args:
            fresh: Read the list now.

        Raises:
            UnavailableError: The registry cannot be reached, and there is no list young enough.
        """
        self._revive()
        found = None if fresh else self.peek(name)
        return self._directory.read(name, fresh=fresh) if found is None else found

    def peek(self, name: str) -> Instances | None:
        """Return what `instances` would, if that needs no waiting; None if it does."""
        return self._directory.peek(name)

    def healthy(self, name: str, *, zone: str | None = None) -> Instances:
        """Return the available instances: those of *zone* if it has any. Raises as `instances` does."""
        return available(self.instances(name), zone)

    def pick(self, name: str, *, strategy: str = "round_robin", zone: str | None = None) -> ServiceInstance:
        """
        Return an available instance to call.

        Args:
            strategy: ``round_robin``, ``random``, ``weighted`` or ``least_loaded`` (see `using`).
            zone: Prefer instances of this zone.

        Raises:
            NoInstanceError: None is available.
            UnavailableError: As `instances`.
            InvalidDocumentError: There is no such strategy.
        """
        found = self.healthy(name, zone=zone).items
        if not found:
            raise NoInstanceError(f"no instance of {name} is available: one must be registered, and healthy if it is checked")
        load = self._loads(name) if strategy == "least_loaded" else {}
        return choose(strategy, found, turn=next(self._directory.entry(name).turns), draw=chance.random(), load=load)

    def url(self, name: str, *, strategy: str = "round_robin", zone: str | None = None) -> str:
        """Return the URL of an available instance; raises as `pick` does."""
        return self.pick(name, strategy=strategy, zone=zone).service_url

    @contextmanager
    def using(self, name: str, *, strategy: str = "least_loaded", zone: str | None = None) -> Iterator[ServiceInstance]:
        """
        Pick an instance and count a call in flight to it inside the block: the load that ``least_loaded`` goes by.

            with kit.services.using("nmt-service") as instance:
                requests.get(f"{instance.service_url}/translate")

        What an instance reports of itself as ``metadata["load"]`` is added to this client's count. Raises as `pick`.
        """
        instance = self.pick(name, strategy=strategy, zone=zone)
        key = (name, instance.instance_id)
        self._count(key, 1)
        try:
            yield instance
        finally:
            self._count(key, -1)

    def summaries(self) -> list[ServiceSummary]:
        """
        Return the services that have instances, by name.

        Raises:
            UnavailableError: The registry cannot be reached, and what it said last is older than *max_stale*.
        """
        self._revive()
        began = time.monotonic()
        try:
            found = tuple(self._calls.run(self._client.services))
        except UnavailableError:
            if self._summaries is None or began - self._summaries[0] > self._max_stale:
                raise
            return list(self._summaries[1])
        self._summaries = (began, found)
        return list(found)

    def names(self) -> list[str]:
        """Return the names of the services that have instances. Raises as `summaries` does."""
        return [summary.service_name for summary in self.summaries()]

    def on_change(self, name: str, callback: Callback) -> Callable[[], None]:
        """
        Call *callback* with the instances whenever they become others than those known now; the answer ends it.

        It is called on a thread of the client; what it raises is logged. Ends of leases and times of checks are no
        change. The list is kept up to date as long as somebody listens.
        """
        self._revive()
        return self._directory.on_change(name, callback)

    def on_event(self, event: Event) -> None:
        """Take in an event of the bus."""
        self._directory.on_event(event)

    def retry_due(self) -> None:
        """Do what is due in the background; the client's housekeeping calls it every 0.25 s or so."""
        self._directory.retry_due()

    def after_fork(self) -> None:
        """Begin anew in a forked child, which makes none of the parent's calls."""
        self._lock = threading.Lock()
        self._load = {}
        self._directory.after_fork()

    def _loads(self, name: str) -> dict[str, int]:
        with self._lock:
            return {instance_id: count for (service, instance_id), count in self._load.items() if service == name}

    def _count(self, key: tuple[str, str], change: int) -> None:
        with self._lock:
            count = self._load.pop(key, 0) + change
            if count > 0:
                self._load[key] = count


def available(listed: Instances, zone: str | None = None) -> Instances:
    """Return those of *listed* that calls may be sent to: those of *zone* if it has any."""
    found = tuple(instance for instance in listed.items if instance.available)
    return Instances(tuple(in_zone(found, zone)), listed.stale)
