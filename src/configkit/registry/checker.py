"""
Health checks: what servers do for the instances that are registered with a health check URL.

Any number of servers share the work: each claims what is due. A result that speaks against an instance's status is
confirmed by the same server a second later, so that the hysteresis needs no memory shared between servers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from configkit.errors import ConfigKitError
from configkit.models import HealthCheck, Status
from configkit.ports import RegistryRecords, ServiceRegistryClient
from configkit.registry.addresses import AddressPolicy
from configkit.registry.health import contradicts, next_status
from configkit.registry.on_demand import Found, OnDemand, Seen, Target
from configkit.registry.patience import Patience
from configkit.registry.probe import probe
from configkit.registry.resolver import Resolver
from configkit.registry.turns import FairCalls, Job, Key

logger = logging.getLogger("configkit.registry")

_ROUND_SECONDS = 1.0
_CONFIRM_SECONDS = 1.0
_ON_DEMAND_SECONDS = 5.0
_CLOSE_SECONDS = 0.9
_REMEMBERED_SECONDS = 60.0
_CLAIM = 500
_MOST_CLAIMS = 20


class _Run(NamedTuple):
    ok: bool
    length: int


class Checker:
    """
    Checks instances in the background and on demand, and removes what has died.

    Checks in the background and on demand have workers of their own, among which services take turns (`Turns`); what
    keeps us waiting is checked less often (`Patience`). So no service delays the checks of another for long.

    Args:
        records: The deployment's registry records.
        client: Lists the instances to check on demand.
        interval: Seconds between two checks of an instance.
        policy: Which addresses may be called.
        timeout: Seconds that one check may take.
        workers: Checks at once in the background.
    """

    def __init__(
        self,
        records: RegistryRecords,
        client: ServiceRegistryClient,
        *,
        interval: float,
        policy: AddressPolicy,
        timeout: float = 2.0,
        workers: int = 32,
    ) -> None:
        self.resolver = Resolver(policy)
        self._records = records
        self._client = client
        self._interval = interval
        self._timeout = timeout
        self._background = FairCalls(workers=workers)
        self._on_demand = OnDemand(self._checked, self._is_late)
        self._lock = threading.Lock()
        self._patience = Patience(interval=interval, timeout=timeout)
        self._flights: dict[Target, Future[Found]] = {}
        self._runs: dict[Key, _Run] = {}
        self._decided: dict[Key, tuple[float, Status]] = {}
        self._doubtful: dict[Key, Seen] = {}
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._troubled: set[str] = set()

    def start(self) -> None:
        """Begin the background work; once."""
        if self._thread is None and not self._closed.is_set():
            self._thread = threading.Thread(target=self._work, name="configkit-checker", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the background work, within 2 s; what a check finds later is dropped."""
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)
        self._on_demand.close(within=_CLOSE_SECONDS / 3)
        self._background.close(within=_CLOSE_SECONDS * 2 / 3)
        self.resolver.close()

    def check_now(self, service_name: str) -> list[HealthCheck]:
        """
        Check every instance of a service and return what was found, by instance id.

        A result that speaks against an instance's status is confirmed at once, so that what is returned and what is
        listed afterwards agree. Where a check of an instance is under way, its result is used.

        An instance without a health check URL counts as healthy: it is listed, so its lease lives. Blocks for 5 s at
        most; a check that has not ended by then is reported as ``not checked``.

        Raises:
            UnavailableError: The instances cannot be listed.
        """
        at = time.monotonic()
        seen = [Seen(instance, at) for instance in self._client.instances(service_name)]
        return self._on_demand.check_all(seen, within=at + _ON_DEMAND_SECONDS - time.monotonic())

    def _work(self) -> None:
        sweep_at = 0.0
        while not self._closed.is_set():
            now = time.monotonic()
            if now >= sweep_at:
                self._attempt("sweep", self._records.sweep)
                sweep_at = now + _ROUND_SECONDS
                self._forget(now)
            self._attempt("claim checks", self._claim)
            self._wake.wait(self._confirm())
            self._wake.clear()

    def _attempt(self, what: str, act: Callable[[], object]) -> None:
        """Do what the next round does again anyway; say once that it fails, and once that it works again."""
        try:
            act()
        except Exception as error:  # the loop must outlive whatever a backend raises
            if what not in self._troubled:
                self._troubled.add(what)
                logger.warning("health checks: cannot %s for now: %s", what, error, exc_info=not isinstance(error, ConfigKitError))
        else:
            if what in self._troubled:
                self._troubled.discard(what)
                logger.info("health checks: %s works again", what)

    def _claim(self) -> None:
        """Let everything wait that is due: places in a queue cost nothing, and who is next is decided there."""
        for _ in range(_MOST_CLAIMS):
            at = time.monotonic()
            due = self._records.due_checks(interval=self._interval, limit=_CLAIM)
            for seen in (Seen(instance, at) for instance in due):
                with self._lock:
                    rests = self._patience.rests(seen.key, at)
                if not rests:
                    self._begin(seen, late=self._is_late(seen.key))
            if len(due) < _CLAIM or self._closed.is_set():
                return

    def _confirm(self) -> float:
        """Check again what is in doubt, and return the seconds until there is something to do."""
        pause, now = min(_CONFIRM_SECONDS, self._interval), time.monotonic()
        with self._lock:
            due = [seen for seen in self._doubtful.values() if seen.at + pause <= now]
            for seen in due:
                del self._doubtful[seen.key]
            next_doubt = min((seen.at + pause - now for seen in self._doubtful.values()), default=_ROUND_SECONDS)
        for seen in due:
            self._begin(seen, late=False)
        return min(next_doubt, _ROUND_SECONDS)

    def _begin(self, seen: Seen, *, late: bool) -> None:
        check = partial(self._attempt, "record checks", partial(self._check, seen))
        self._background.submit(Job(seen.key, check, late))

    def _check(self, seen: Seen) -> None:
        with self._lock:
            under_way = seen.target in self._flights
        if not under_way:
            self._checked(seen)

    def _checked(self, seen: Seen) -> Found:
        """Return what a check finds: the one under way, or a new one."""
        mine: Future[Found] = Future()
        with self._lock:
            flight = self._flights.setdefault(seen.target, mine)
        if flight is not mine:
            return flight.result(timeout=_ON_DEMAND_SECONDS)
        try:
            found = self._probed(seen)
        except BaseException as error:
            self._land(seen).set_exception(error)
            raise
        self._land(seen).set_result(found)
        return found

    def _land(self, seen: Seen) -> Future[Found]:
        with self._lock:
            return self._flights.pop(seen.target)

    def _probed(self, seen: Seen) -> Found:
        instance = seen.instance
        check = probe(instance.instance_id, instance.health_check_url or "", self.resolver, timeout=self._timeout)
        status = self._judge(seen, check)
        if not self._closed.is_set():
            self._records.record_check(instance.service_name, check, status)
        return Found(check, status)

    def _judge(self, seen: Seen, check: HealthCheck) -> Status:
        now, ok = time.monotonic(), check.healthy
        with self._lock:
            self._patience.note(seen.key, check, now)
            before = self._runs.pop(seen.key, None)
            run = _Run(ok, before.length + 1 if before and before.ok is ok else 1)
            decided_at, decided = self._decided.get(seen.key, (0.0, seen.instance.status))
            # Another check of this instance may have ended since it was listed.
            status = next_status(decided if decided_at >= seen.at else seen.instance.status, ok=ok, run=run.length)
            self._decided[seen.key] = (now, status)
            self._doubtful.pop(seen.key, None)
            if contradicts(status, ok=ok):
                self._runs[seen.key] = run
                if self._thread is not None:
                    self._doubtful[seen.key] = Seen(seen.instance, now)
        return status

    def _is_late(self, key: Key) -> bool:
        with self._lock:
            return self._patience.is_late(key)

    def _forget(self, now: float) -> None:
        oldest = now - _REMEMBERED_SECONDS
        with self._lock:
            self._decided = {key: decision for key, decision in self._decided.items() if decision[0] >= oldest}
            self._patience.forget(now)
