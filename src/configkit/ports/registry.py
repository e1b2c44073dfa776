"""Who is there, and what servers do for the instances that cannot do it themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from configkit.models import HealthCheck, Origin, ServiceInstance, ServiceSummary


class ServiceRegistryClient(Protocol):
    """
    Who is there.

    A registration lives as long as its lease is renewed. Without *ttl_seconds* a checker owns its life where it has a
    health check URL (it stays listed while unhealthy, for ten minutes); without either the lease is 30 s. Nobody is
    listed later than 2 s after the end of its lease, whether anybody sweeps or not.
    """

    def register(
        self, instance: ServiceInstance, *, ttl_seconds: float | None = None, origin: Origin
    ) -> tuple[ServiceInstance, bool]:
        """
        List *instance*, replacing what its id was before. Names with capitals are read here, never registered.

        Returns the instance as listed, and whether it is new. Its status is ``unknown`` until checked; a repeated
        registration under the same health check URL keeps what the last check found.

        Raises:
            InvalidDocumentError: The service's name has capitals, or *ttl_seconds* is not a number from 5 to 3600.
        """

    def deregister(self, service_name: str, instance_id: str, *, origin: Origin) -> None:
        """Remove the instance. Raises `NotFoundError` if it is not listed."""

    def heartbeat(self, service_name: str, instance_id: str) -> datetime:
        """
        Renew the lease for its own length and return its new end.

        Raises:
            NotFoundError: Not listed (any more), or it has no lease: register again.
        """

    def instances(self, service_name: str) -> list[ServiceInstance]:
        """Return every listed instance by id, whatever its health; empty for an unknown service."""

    def services(self) -> list[ServiceSummary]:
        """Return the services that have instances, by name."""


class RegistryRecords(Protocol):
    """What servers do for the instances that cannot do it themselves; shared by all servers of a deployment."""

    def due_checks(self, *, interval: float, limit: int = 100) -> list[ServiceInstance]:
        """Claim instances whose last check began at least *interval* seconds ago, each for one caller only."""

    def record_check(self, service_name: str, check: HealthCheck, status: str) -> None:
        """Keep what a check found. An instance that is gone is ignored; listeners are told where the status changed."""

    def sweep(self, *, unhealthy_for: float = 600.0) -> list[tuple[str, str]]:
        """
        Remove what has died and return it as (service_name, instance_id): leases that ended, and instances without a
        lease that were unhealthy for *unhealthy_for* seconds.
        """
