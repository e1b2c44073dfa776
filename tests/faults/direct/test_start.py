"""Starting while a system is down: soon, with typed errors or the caller's defaults, and healing by itself."""

from __future__ import annotations

import time

import pytest

from tests.faults.direct.figures import check
from tests.faults.direct.site import DEADLINE, SLACK, Site, apis, fresh_name, names
from tests.faults.direct.test_hangs import NETWORK
from tests.faults.direct.test_outages import CONVERGED
from tests.faults.processes import ServerProcess
from tests.waiting import eventually

START = 1.0


@pytest.fixture(scope="module", autouse=True)
def _imported(deployment: Site) -> None:
    """Have every module imported that a client needs: the interpreter's time is not the client's."""
    with deployment.library(fresh_name()):
        pass


@pytest.mark.parametrize("how", ["killed", "hanging"])
@pytest.mark.parametrize("name", names())
def test_a_library_that_starts_while_a_system_is_down(how: str, name: str, site: Site, server: ServerProcess) -> None:
    fault, service = f"{name} {how} at the start", fresh_name()
    with apis(server, service=service) as (api,):
        assert api.create("k", "there").status_code == 201
        if how == "killed":
            site.systems[name].kill()
        else:
            site.systems[name].pause()
        began = time.monotonic()
        with site.library(service) as kit:
            check(fault, "library: connect", time.monotonic() - began, START + SLACK)
            began = time.monotonic()
            value = kit.config.get("k", default="the caller's")
            check(fault, "library: first value", time.monotonic() - began, DEADLINE + SLACK)
            assert value in ({"there", "the caller's"} if name == "vault" else {"there"})  # Redis may have it
            began = time.monotonic()
            assert kit.flags.is_enabled("no-such-flag", default=True, user_id="u1") is True
            check(fault, "library: flag's default", time.monotonic() - began, DEADLINE + SLACK)
            site.systems[name].resume() if how == "hanging" else site.systems[name].start()
            began = time.monotonic()
            eventually(lambda: kit.config.get("k", default=None) == "there" and kit.status().ready, timeout=20)
            check(fault, "library: ready after its return", time.monotonic() - began, CONVERGED)


def usual(site: Site) -> float:
    """Return how long a server takes to listen with everything there: mostly the interpreter and its imports."""
    began = time.monotonic()
    with site.serving("usual"):
        return time.monotonic() - began


def test_a_server_that_starts_while_systems_are_down(site: Site) -> None:
    before = usual(site)
    for down in (["vault"], ["redis", "kafka", "zookeeper"]):
        fault, service = f"{', '.join(down)} down at a server's start", fresh_name()
        for name in down:
            site.systems[name].kill()
        began = time.monotonic()
        with site.serving("early") as early, apis(early, service=service) as (api,):
            check(fault, "server: more than with everything there", time.monotonic() - began - before, START)
            began = time.monotonic()
            answer = api.get("k")
            check(fault, "server: answer for an unknown value", time.monotonic() - began, DEADLINE + SLACK, tolerance=NETWORK)
            assert answer.status_code == (503 if "vault" in down else 404), answer.text
            assert api.http.get("/live").status_code == 200
            for name in down:
                site.systems[name].start()
            began = time.monotonic()
            eventually(lambda: api.ready() and api.create("k", 1).status_code in (201, 409), timeout=20, every=0.05)
            check(fault, "server: ready after their return", time.monotonic() - began, CONVERGED)


def test_a_server_that_starts_without_its_database(site: Site) -> None:
    fault, before = "postgres down at a server's start", usual(site)
    site.systems["postgres"].kill()
    early = site.serve("early")
    began = time.monotonic()
    try:
        early.start()
        check(fault, "server: more than with everything there", time.monotonic() - began - before, START)
        with apis(early, service=fresh_name()) as (api,):
            began = time.monotonic()
            assert api.get("k").status_code == 503
            check(fault, "server: answer", time.monotonic() - began, DEADLINE + SLACK, tolerance=NETWORK)
            site.systems["postgres"].start()
            began = time.monotonic()
            eventually(lambda: api.ready() and api.create("k", 1).status_code == 201, timeout=20, every=0.05)
            check(fault, "server: ready after its return", time.monotonic() - began, CONVERGED)
    finally:
        early.close()
