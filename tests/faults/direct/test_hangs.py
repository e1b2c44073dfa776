"""Systems that hang, are slow, cut connections or leave them half open: every call has its answer by its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from configkit.errors import ConfigKitError
from tests.faults.direct.figures import check
from tests.faults.direct.site import DEADLINE, PROXIED, SLACK, Site, names
from tests.faults.direct.test_outages import BUSY, CONVERGED, READ
from tests.faults.direct.watching import Story, story
from tests.faults.processes import ServerProcess

NETWORK = 0.15
"""What a request may cost beside the server's own time, on a machine of two cores that all of this runs on: no test fails of it."""


@pytest.fixture(scope="module")
def _proxied_server(deployment: Site) -> Iterator[ServerProcess]:
    with deployment.serving("proxied", proxied=True) as started:
        yield started


@pytest.fixture
def proxied_server(site: Site, _proxied_server: ServerProcess) -> ServerProcess:
    """A server that reaches the systems through the proxies."""
    del site
    return _proxied_server


def took(call: Callable[[], object]) -> float:
    """Return how long *call* takes, whether or not it raises an error of configkit's."""
    began = time.monotonic()
    with suppress(ConfigKitError):
        call()
    return time.monotonic() - began


def calls(told: Story) -> dict[str, Callable[[], object]]:
    """Return calls that cannot be answered from memory."""
    kit, api = told.kit, told.api
    return {
        "library: value never seen": lambda: kit.config.get("never-seen", default=None),
        "library: write": lambda: kit.config.set("written", 1),
        "library: history": lambda: kit.config.history("k"),
        "library: flag write": lambda: kit.flags.update(told.flag, description="d"),
        "library: list afresh": lambda: kit.services.instances(api.service, fresh=True),
        "server: value never seen": lambda: api.get("never-seen-here"),
        "server: value afresh": lambda: api.get("k", fresh=True),
        "server: write": lambda: api.put("k", told.count),
        "server: flag write": lambda: api.set_flag(told.flag, on=bool(told.count % 2)),
        "server: register": lambda: api.register("rest"),
        "server: health": lambda: api.http.get("/health"),
        "server: ready": lambda: api.http.get("/ready"),
    }


def slowest(told: Story) -> dict[str, float]:
    """Return how long each of `calls` takes, all at once."""
    found: dict[str, float] = {}

    def measure(name: str, call: Callable[[], object]) -> None:
        found[name] = took(call)

    threads = [threading.Thread(target=measure, args=each) for each in calls(told).items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


def endure(told: Story, fault: str) -> None:
    """Check that calls are answered in time while the trouble lasts, and that reads do not feel it."""
    with told.in_use():
        found = slowest(told)
    of_library = {name: seconds for name, seconds in found.items() if name.startswith("library")}
    of_server = {name: seconds for name, seconds in found.items() if name.startswith("server")}
    for measured, tolerance in ((of_library, 0.0), (of_server, NETWORK)):
        worst = max(measured, key=lambda name: measured[name])
        check(fault, f"slowest call ({worst})", measured[worst], DEADLINE + SLACK, tolerance=tolerance)
    check(fault, "errors of reads", len(told.wrong), 0, "errors")
    check(fault, "slowest read", max(told.slowest.values()), READ, tolerance=BUSY)


@pytest.mark.parametrize("name", names())
def test_a_system_that_hangs(name: str, site: Site, server: ServerProcess) -> None:
    with story(site, server) as told:
        site.systems[name].pause()
        endure(told, f"{name} hangs (SIGSTOP)")
        site.systems[name].resume()
        check(f"{name} hangs (SIGSTOP)", "all well again after its return", told.seconds_to_converge(), CONVERGED)


@pytest.mark.parametrize("name", list(PROXIED))
def test_a_system_that_answers_after_two_seconds(name: str, site: Site, proxied_server: ServerProcess) -> None:
    with story(site, proxied_server, proxied=True) as told:
        site.proxies[name].delay = 2.0
        endure(told, f"{name} answers after 2 s")
        site.proxies[name].heal()
        check(f"{name} answers after 2 s", "all well again after it", told.seconds_to_converge(), CONVERGED)


@pytest.mark.parametrize("name", list(PROXIED))
def test_connections_that_are_reset(name: str, site: Site, proxied_server: ServerProcess) -> None:
    with story(site, proxied_server, proxied=True) as told:
        with told.in_use():
            for _ in range(5):
                site.proxies[name].cut()
                threading.Event().wait(0.1)
        check(f"{name}: connections reset", "errors of reads", len(told.wrong), 0, "errors")
        check(f"{name}: connections reset", "all well again after it", told.seconds_to_converge(), CONVERGED)


@pytest.mark.parametrize("name", list(PROXIED))
def test_connections_that_are_half_open(name: str, site: Site, proxied_server: ServerProcess) -> None:
    with story(site, proxied_server, proxied=True) as told:
        site.proxies[name].silent = True
        endure(told, f"{name}: half-open connections")
        site.proxies[name].heal()
        check(f"{name}: half-open connections", "all well again after it", told.seconds_to_converge(), CONVERGED)
