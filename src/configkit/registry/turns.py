"""Who is next: services take turns, and what answers late never holds every worker."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from configkit.calls import Calls
from configkit.errors import ConfigKitError

Key = tuple[str, str]
"""A service's name and an instance's id."""


class Job(NamedTuple):
    """Something to do for an instance; *late*: it may take as long as it is allowed to."""

    key: Key
    run: Callable[[], None]
    late: bool


class _Lane:
    def __init__(self, room: int) -> None:
        self.room = room
        self.running = 0
        self.waiting: OrderedDict[str, dict[str, Job]] = OrderedDict()

    def add(self, job: Job) -> None:
        service, instance = job.key
        self.waiting.setdefault(service, {})[instance] = job

    def remove(self, key: Key) -> None:
        service, instance = key
        jobs = self.waiting.get(service, {})
        jobs.pop(instance, None)
        if not jobs:
            self.waiting.pop(service, None)

    def take(self, busy: set[str]) -> Job | None:
        """Take the first job of the service whose turn it is, none of *busy*."""
        if self.running >= self.room:
            return None
        service = next((name for name in self.waiting if name not in busy), None)
        if service is None:
            return None
        self.waiting.move_to_end(service)
        job = next(iter(self.waiting[service].values()))
        self.remove(job.key)
        self.running += 1
        return job


class Turns:
    """
    Jobs that wait, and how many of each kind run: prompt ones come first and take three quarters of the places at
    most, late ones half of them, and one service a quarter.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._per_service = max(1, places // 4)
        self._prompt = _Lane(max(1, places * 3 // 4))
        self._late = _Lane(max(1, places // 2))
        self._running: dict[str, int] = {}

    def add(self, job: Job) -> None:
        """Let *job* wait; it takes the place of one that waits for the same instance."""
        (self._prompt if job.late else self._late).remove(job.key)
        (self._late if job.late else self._prompt).add(job)

    def take(self) -> Job | None:
        """Return the job that begins now; None: no place is free for any that waits. `end` it."""
        if self._prompt.running + self._late.running >= self._places:
            return None
        busy = {service for service, count in self._running.items() if count >= self._per_service}
        job = self._prompt.take(busy) or self._late.take(busy)
        if job is not None:
            self._running[job.key[0]] = self._running.get(job.key[0], 0) + 1
        return job

    def end(self, job: Job) -> None:
        """Free the place of *job*."""
        service = job.key[0]
        (self._late if job.late else self._prompt).running -= 1
        self._running[service] -= 1
        if not self._running[service]:
            del self._running[service]

    def clear(self) -> list[Job]:
        """Forget the jobs that wait, and return them."""
        lanes = (self._prompt, self._late)
        waiting = [job for lane in lanes for jobs in lane.waiting.values() for job in jobs.values()]
        for lane in lanes:
            lane.waiting.clear()
        return waiting


class FairCalls:
    """Runs jobs on threads of its own, in `Turns`."""

    def __init__(self, *, workers: int) -> None:
        self._calls = Calls(workers=workers, waiting=workers)
        self._turns = Turns(workers)
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, job: Job) -> bool:
        """Run *job* when its turn has come, unless another for the same instance replaces it; False: closed."""
        with self._lock:
            if self._closed:
                return False
            self._turns.add(job)
        self._begin_next()
        return True

    def close(self, *, within: float) -> list[Job]:
        """Begin nothing more, give what runs *within* seconds, and return what had not begun."""
        with self._lock:
            self._closed = True
            waiting = self._turns.clear()
        self._calls.close(within=within)
        return waiting

    def _begin_next(self) -> None:
        while True:
            with self._lock:
                job = self._turns.take()
            if job is None:
                return
            try:
                self._calls.submit(self._carry_out, job)
            except ConfigKitError:  # closed meanwhile
                self._end(job)

    def _carry_out(self, job: Job) -> None:
        try:
            job.run()
        finally:
            self._end(job)
            self._begin_next()

    def _end(self, job: Job) -> None:
        with self._lock:
            self._turns.end(job)
