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
from typing import NamedTuple

from configkit.calls import Calls
from configkit.errors import ConfigKitError, UnavailableError
from configkit.models import HealthCheck, ServiceInstance, Status
from configkit.ports import RegistryRecords, ServiceRegistryClient
from configkit.registry.addresses import AddressPolicy
from configkit.registry.health import contradicts, next_status
from configkit.registry.probe import probe
from configkit.registry.resolver import Resolver

logger = logging.getLogger("configkit.registry")

_ROUND_SECONDS = 1.0
_CONFIRM_SECONDS = 1.0
_ON_DEMAND_SECONDS = 5.0
_CLOSE_SECONDS = 0.9
_REMEMBERED_SECONDS = 60.0

Key = tuple[str, str]


class _Run(NamedTuple):
    ok: bool
    length: int


class _Seen(NamedTuple):
    """An instance as it was listed at *at* (monotonic)."""

    instance: ServiceInstance
    at: float

    @property
    def key(self) -> Key:
        return (self.instance.service_name, self.instance.instance_id)


class Checker:
    """
    Checks instances in the background and on demand, and removes what has died.

    Args:
        records: The deployment's registry records.
        client: Lists the instances to check on demand.
        interval: Seconds between two checks of an instance.
        policy: Which addresses may be called.
        timeout: Seconds that one check may take.
        workers: Checks at once.
    """

    def __init__(
        self,
        records: RegistryRecords,
        client: ServiceRegistryClient,
        *,
        interval: float,
        policy: AddressPolicy,
        timeout: float = 2.0,
        workers: int = 8,
    ) -> None:
        self.resolver = Resolver(policy)
        self._records = records
        self._client = client
        self._interval = interval
        self._timeout = timeout
        self._most = 2 * workers
        self._pool = Calls(workers=workers, waiting=512)
        self._lock = threading.Lock()
        self._runs: dict[Key, _Run] = {}
        self._decided: dict[Key, tuple[float, Status]] = {}
        self._doubtful: dict[Key, _Seen] = {}
        self._in_flight = 0
        self._full = False
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
        self._pool.close(within=_CLOSE_SECONDS)
        self.resolver.close()

    def check_now(self, service_name: str) -> list[HealthCheck]:
        """
        Check every instance of a service and return what was found, by instance id.

        A result that speaks against an instance's status is confirmed at once, so that what is returned and what is
        listed afterwards agree.

        An instance without a health check URL counts as healthy: it is listed, so its lease lives. Blocks for 5 s at
        most; a check that has not ended by then is reported as ``not checked``.

        Raises:
            UnavailableError: The instances cannot be listed.
        """
        end = time.monotonic() + _ON_DEMAND_SECONDS
        seen = [_Seen(instance, end - _ON_DEMAND_SECONDS) for instance in self._client.instances(service_name)]
        begun = [(one.instance, self._begin_on_demand(one)) for one in seen]
        return [_answer(instance, check, end) for instance, check in begun]

    def _begin_on_demand(self, seen: _Seen) -> Future[HealthCheck] | None:
        if seen.instance.health_check_url is None:
            return None
        try:
            return self._pool.submit(self._check_twice, seen)
        except UnavailableError as refused:
            future: Future[HealthCheck] = Future()
            future.set_exception(refused)
            return future

    def _work(self) -> None:
        sweep_at = 0.0
        while not self._closed.is_set():
            now = time.monotonic()
            if now >= sweep_at:
                self._attempt("sweep", self._records.sweep)
                sweep_at = now + _ROUND_SECONDS
                self._forget_decisions(now - _REMEMBERED_SECONDS)
            self._attempt("claim checks", self._claim)
            self._confirm(now)
            self._wake.wait(_ROUND_SECONDS)
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
        with self._lock:
            room = self._most - self._in_flight
        if room <= 0:
            self._full = True
            return
        at = time.monotonic()
        due = self._records.due_checks(interval=self._interval, limit=room)
        self._full = len(due) >= room
        for instance in due:
            self._begin(_Seen(instance, at))

    def _confirm(self, now: float) -> None:
        with self._lock:
            due = [seen for seen in self._doubtful.values() if seen.at + min(_CONFIRM_SECONDS, self._interval) <= now]
            due = due[: max(0, self._most - self._in_flight)]
        for seen in due:
            self._begin(seen)

    def _begin(self, seen: _Seen) -> None:
        with self._lock:
            self._doubtful.pop(seen.key, None)
            self._in_flight += 1
        try:
            self._pool.submit(self._check, seen).add_done_callback(self._ended)
        except ConfigKitError:  # busy with checks on demand: it is due again an interval later
            self._ended()

    def _ended(self, check: Future[HealthCheck] | None = None) -> None:
        with self._lock:
            self._in_flight -= 1
        if self._full:
            self._wake.set()
        if check is not None:
            self._attempt("record checks", check.result)

    def _check_twice(self, seen: _Seen) -> HealthCheck:
        check, status = self._checked(seen)
        return self._checked(seen)[0] if contradicts(status, ok=check.healthy) else check

    def _check(self, seen: _Seen) -> HealthCheck:
        return self._checked(seen)[0]

    def _checked(self, seen: _Seen) -> tuple[HealthCheck, Status]:
        instance = seen.instance
        check = probe(instance.instance_id, instance.health_check_url or "", self.resolver, timeout=self._timeout)
        status = self._judge(seen, ok=check.healthy)
        if not self._closed.is_set():
            self._records.record_check(instance.service_name, check, status)
        return check, status

    def _judge(self, seen: _Seen, *, ok: bool) -> Status:
        now = time.monotonic()
        with self._lock:
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
                    self._doubtful[seen.key] = _Seen(seen.instance, now)
        return status

    def _forget_decisions(self, before: float) -> None:
        with self._lock:
            self._decided = {key: decision for key, decision in self._decided.items() if decision[0] >= before}


def _answer(instance: ServiceInstance, check: Future[HealthCheck] | None, end: float) -> HealthCheck:
    if check is None:
        return HealthCheck(instance.instance_id, healthy=True, response_time_ms=0.0)
    try:
        return check.result(timeout=max(0.0, end - time.monotonic()))
    except (TimeoutError, ConfigKitError):
        check.cancel()
        return HealthCheck(instance.instance_id, healthy=False, response_time_ms=0.0, error="not checked")
