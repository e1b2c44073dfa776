"""Checks that somebody waits for, on workers of their own: whoever asks for one that is wanted already gets that one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from configkit.errors import ClosedError, ConfigKitError, UnavailableError
from configkit.models import HealthCheck, ServiceInstance, Status
from configkit.registry.health import contradicts
from configkit.registry.turns import FairCalls, Job, Key

_WORKERS = 12

Target = tuple[Key, str | None]
"""An instance and where it is checked."""


class Seen(NamedTuple):
    """An instance as it was listed at *at* (monotonic)."""

    instance: ServiceInstance
    at: float

    @property
    def key(self) -> Key:
        """Its service's name and its id."""
        return (self.instance.service_name, self.instance.instance_id)

    @property
    def target(self) -> Target:
        """What a check of it checks."""
        return (self.key, self.instance.health_check_url)


class Found(NamedTuple):
    """What a check found, and the status that makes."""

    check: HealthCheck
    status: Status


class _Wanted:
    """A check for all who ask for it until it has ended; *end*: when the last of them gives up."""

    def __init__(self, seen: Seen, end: float) -> None:
        self.seen = seen
        self.end = end
        self.future: Future[HealthCheck] = Future()


class OnDemand:
    """
    Checks of which the results are waited for.

    Args:
        check: Checks an instance, or waits for the check of it that is under way.
        is_late: Tells whether a check may take long.
    """

    def __init__(self, check: Callable[[Seen], Found], is_late: Callable[[Key], bool]) -> None:
        self._check = check
        self._is_late = is_late
        self._pool = FairCalls(workers=_WORKERS)
        self._wanted: dict[Target, _Wanted] = {}
        self._lock = threading.Lock()
        self._closed = False

    def check_all(self, seen: list[Seen], *, within: float) -> list[HealthCheck]:
        """Return what checks of all of *seen* found; where that takes more than *within* seconds, ``not checked``."""
        end = time.monotonic() + within
        begun = [(one.instance, self._want(one, end)) for one in seen]
        return [_answer(instance, check, end) for instance, check in begun]

    def close(self, *, within: float) -> None:
        """Begin nothing more, and tell those who wait for what had not begun."""
        self._closed = True
        for job in self._pool.close(within=within):
            job.run()

    def _want(self, seen: Seen, end: float) -> Future[HealthCheck] | None:
        if seen.instance.health_check_url is None:
            return None
        with self._lock:
            wanted = self._wanted.get(seen.target)
            if wanted is not None:
                wanted.end = max(wanted.end, end)
                return wanted.future
            wanted = self._wanted[seen.target] = _Wanted(seen, end)
        service, instance = seen.key
        run = partial(self._fulfil, wanted)
        place = (service, f"{instance} {seen.instance.health_check_url}")  # another address is another check
        if not self._pool.submit(Job(place, run, self._is_late(seen.key))):
            run()
        return wanted.future

    def _fulfil(self, wanted: _Wanted) -> None:
        found: HealthCheck | Exception
        try:
            found = self._check_twice(wanted)
        except Exception as error:  # noqa: BLE001  those who wait get it
            found = error
        with self._lock:
            del self._wanted[wanted.seen.target]
        if isinstance(found, Exception):
            wanted.future.set_exception(found)
        else:
            wanted.future.set_result(found)

    def _check_twice(self, wanted: _Wanted) -> HealthCheck:
        if self._closed:
            raise ClosedError
        if time.monotonic() >= wanted.end:
            raise UnavailableError("not checked in time", backend="configkit", operation="check")
        check, status = self._check(wanted.seen)
        return self._check(wanted.seen).check if contradicts(status, ok=check.healthy) else check


def _answer(instance: ServiceInstance, check: Future[HealthCheck] | None, end: float) -> HealthCheck:
    if check is None:
        return HealthCheck(instance.instance_id, healthy=True, response_time_ms=0.0)
    try:
        return check.result(timeout=max(0.0, end - time.monotonic()))
    except (TimeoutError, ConfigKitError):
        return HealthCheck(instance.instance_id, healthy=False, response_time_ms=0.0, error="not checked")
