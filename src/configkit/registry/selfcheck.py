"""
What a self-registered process finds when it checks its own health: for deployments without a server, where nobody
else does.
"""

from __future__ import annotations

import time

from configkit.models import HEALTHY, UNKNOWN, ServiceInstance, Status
from configkit.ports import RegistryRecords
from configkit.registry.health import next_status

_TIMEOUT = 1.0


class SelfCheck:
    """
    Checks the health check URL of one instance and records what that says.

    Until it was healthy once, failures are not recorded: it is still starting, and not available anyway.

    Args:
        interval: Seconds between two checks, once it was healthy.
    """

    def __init__(self, records: RegistryRecords, instance: ServiceInstance, *, interval: float = 5.0) -> None:
        self._records = records
        self._instance = instance
        self._interval = interval
        self._status: Status = UNKNOWN
        self._last: bool | None = None
        self._run = 0
        self._due = 0.0

    @property
    def starting(self) -> bool:
        """Whether it was never healthy."""
        return self._status == UNKNOWN

    def restart(self) -> None:
        """Begin anew: the instance was registered again, and may be listed as unknown."""
        self._status, self._last, self._run, self._due = UNKNOWN, None, 0, 0.0

    def check_if_due(self) -> None:
        """Check it, if the last check is long enough ago; takes a second at most, and as long as recording takes."""
        from configkit.registry.addresses import AddressPolicy  # noqa: PLC0415  it brings an HTTP client
        from configkit.registry.probe import probe  # noqa: PLC0415
        from configkit.registry.resolver import Resolver  # noqa: PLC0415

        if time.monotonic() < self._due:
            return
        resolver = Resolver(AddressPolicy(loopback=True), workers=1)
        try:
            check = probe(self._instance.instance_id, self._instance.health_check_url or "", resolver, timeout=_TIMEOUT)
        finally:
            resolver.close()
        self._run = self._run + 1 if check.healthy is self._last else 1
        self._last = check.healthy
        if self.starting and not check.healthy:
            return
        self._status = next_status(self._status, ok=check.healthy, run=self._run)
        settled = check.healthy is (self._status == HEALTHY)
        self._due = time.monotonic() + (self._interval if settled else 0.0)
        self._records.record_check(self._instance.service_name, check, self._status)
