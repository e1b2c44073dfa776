"""Systems that die and come back: what is known is answered throughout, and all is well again within five seconds."""

from __future__ import annotations

import threading

import pytest

from tests.faults.direct.figures import check
from tests.faults.direct.site import Site, names
from tests.faults.direct.watching import Story, story
from tests.faults.processes import ServerProcess

CONVERGED = 5.0
READ = 0.25
"""What is known is in memory; so long may a read of it take on a machine that is busy with starting a system."""


def outlast(told: Story, systems: list[str], seconds: float, fault: str) -> None:
    """Kill *systems*, bring them back after *seconds*, and check what reads brought meanwhile and how soon all was well."""
    with told.in_use():
        for name in systems:
            told.site.systems[name].kill()
        threading.Event().wait(seconds)
        starting = [threading.Thread(target=told.site.systems[name].start) for name in systems]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        converged = told.seconds_to_converge()
    check(fault, "errors of reads", len(told.wrong), 0, "errors")
    check(fault, "slowest read", max(told.slowest.values()), READ)
    check(fault, "all well again after its return", converged, CONVERGED)


@pytest.mark.parametrize("name", names())
def test_a_system_that_was_away_for_ten_seconds(name: str, site: Site, server: ServerProcess) -> None:
    with story(site, server) as told:
        outlast(told, [name], 10.0, f"{name} killed for 10 s")


@pytest.mark.parametrize("seconds", [30.0, 50.0])
def test_all_systems_were_away(seconds: float, site: Site, server: ServerProcess) -> None:
    with story(site, server) as told:
        outlast(told, names(), seconds, f"all five killed for {seconds:g} s")
