"""Systems that die and come back: what is known is answered throughout, and all is well again within five seconds."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from configkit.errors import UnavailableError
from tests.faults.direct.figures import check
from tests.faults.direct.site import SESSION, Site, names
from tests.faults.direct.watching import Story, story
from tests.faults.processes import ServerProcess

CONVERGED = 5.0
LISTED = 60.0
READ = 0.25
"""What is known is in memory; so long may a read of it take on a machine that is busy with starting a system."""
BUSY = 0.75
"""By so much more before a test fails: a read that waits for a system waits longer, one that waits for a processor does not."""


def outlast(told: Story, systems: list[str], last: Callable[[], object], fault: str, *, lists: bool = True) -> None:
    """Kill *systems*, bring them back after *last* returns, and check what reads brought meanwhile and how soon all was well."""
    with told.in_use(instances=lists):
        for name in systems:
            told.site.systems[name].kill()
        last()
        starting = [threading.Thread(target=told.site.systems[name].start) for name in systems]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        converged = told.seconds_to_converge()
    check(fault, "errors of reads", len(told.wrong), 0, "errors")
    check(fault, "slowest read", max(told.slowest.values()), READ, tolerance=BUSY)
    check(fault, "all well again after its return", converged, CONVERGED)


@pytest.mark.parametrize("name", names())
def test_a_system_that_was_away_for_ten_seconds(name: str, site: Site, server: ServerProcess) -> None:
    with story(site, server) as told:
        outlast(told, [name], partial(threading.Event().wait, 10.0), f"{name} killed for 10 s")


def test_all_systems_were_away_for_half_a_minute(site: Site, server: ServerProcess) -> None:
    with story(site, server) as told:
        outlast(told, names(), partial(threading.Event().wait, 30.0), "all five killed for 30 s")


@pytest.mark.timeout(200)
def test_all_systems_were_away_for_a_minute_and_lists_of_instances_are_served_for_that_long_at_most(
    site: Site, server: ServerProcess
) -> None:
    fault = "all five killed for 63 s"
    with story(site, server) as told:
        lists = Lists(told)
        outlast(told, names(), lambda: lists.follow(63.0), fault, lists=False)
    check(fault, "lists that were empty out of blindness", lists.empty, 0, "lists")
    check(fault, "the last list was marked stale after", lists.stale_after, SESSION)
    check(fault, "the last list was served for", lists.served_for, LISTED)
    check(fault, "the last list was served for at least", lists.served_for, LISTED - 10, at_least=True)


class Lists:
    """What the library says of a service's instances while nobody can be asked."""

    def __init__(self, told: Story) -> None:
        self._told = told
        self.empty = 0
        self.stale_after = math.inf
        self.served_for = 0.0

    def follow(self, seconds: float) -> None:
        """Ask all the time for *seconds*."""
        began = time.monotonic()
        while (age := time.monotonic() - began) < seconds:
            with suppress(UnavailableError):
                found = self._told.kit.services.instances(self._told.api.service)
                self.served_for = age
                self.empty += not found.items
                if found.stale:
                    self.stale_after = min(self.stale_after, age)
            threading.Event().wait(0.1)
