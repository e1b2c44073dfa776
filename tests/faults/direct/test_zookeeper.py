"""Sessions that end, processes that pause, members that leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from kazoo.client import KazooClient

from tests.faults.direct.figures import check
from tests.faults.direct.site import SESSION, Site, fresh_name
from tests.faults.direct.test_outages import CONVERGED
from tests.faults.direct.watching import story
from tests.faults.processes import ServerProcess
from tests.unit.backends.zookeeper.zoo import expire, nodes, plain
from tests.waiting import eventually

_MEMBER = """
import sys
import configkit
with configkit.connect(mode="direct", service_name=sys.argv[1]) as kit:
    @kit.register(url="http://10.0.0.7:8087", instance_id="member")
    def main():
        print("running", flush=True)
        sys.stdin.read()
    main()
"""


@contextmanager
def member(site: Site, service: str) -> Iterator[subprocess.Popen[str]]:
    """Run a service that registers itself."""
    plain_env = {name: value for name, value in os.environ.items() if not name.startswith("CONFIGKIT_")}
    command = [sys.executable, "-c", _MEMBER, service]
    process = subprocess.Popen(
        command, env={**plain_env, **site.variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            assert process.stdout.readline() == "running\n"
            yield process
        finally:
            process.kill()
            process.wait(10)


def found(client: KazooClient, site: Site, service: str) -> dict[str, Any]:
    return nodes(client, site.variables["ZOOKEEPER_BASE_PATH"], service)


def test_a_session_that_is_ended_by_force(site: Site, server: ServerProcess) -> None:
    fault, at = "zookeeper session expired", site.variables["ZOOKEEPER_HOSTS"]
    with story(site, server) as told, plain(at) as client:
        before = found(client, site, told.api.service)["own"][1].ephemeralOwner
        with told.in_use():
            expire(told.kit.backends.records, at)  # type: ignore[arg-type]
            began = time.monotonic()
            eventually(lambda: owner(client, site, told.api.service) not in (None, before), timeout=15)
            check(fault, "exactly one node again", time.monotonic() - began, 2.0)
        assert sorted(found(client, site, told.api.service)) == ["own", "rest"]
        check(fault, "errors of reads", len(told.wrong), 0, "errors")
        check(fault, "all well again", told.seconds_to_converge(), CONVERGED)


def owner(client: KazooClient, site: Site, service: str) -> int | None:
    there = found(client, site, service).get("own")
    return None if there is None else int(there[1].ephemeralOwner)


def test_a_server_that_was_stopped_for_longer_than_its_session(site: Site) -> None:
    fault = "server paused (SIGSTOP) beyond its session"
    with site.serving("paused") as paused, story(site, paused) as told, plain(site.variables["ZOOKEEPER_HOSTS"]) as client:
        os.kill(paused.pid, signal.SIGSTOP)
        try:
            # With the only server away nobody holds the node of what registered over REST: it is gone with the session.
            eventually(lambda: "rest" not in found(client, site, told.api.service), timeout=SESSION + 10)
            site.write_plainly(told.api.service, "k", "written meanwhile")
        finally:
            os.kill(paused.pid, signal.SIGCONT)
        began = time.monotonic()
        eventually(lambda: "rest" in found(client, site, told.api.service), timeout=15)
        check(fault, "exactly one node again after SIGCONT", time.monotonic() - began, CONVERGED)
        assert sorted(found(client, site, told.api.service)) == ["own", "rest"]
        check(fault, "all well again", told.seconds_to_converge(), CONVERGED)


def test_members_that_leave_and_members_that_die(site: Site, server: ServerProcess) -> None:
    service = fresh_name()
    with site.library(fresh_name()) as kit:

        def gone() -> bool:
            return not kit.services.instances(service).items

        for sent, what, bound in (
            (signal.SIGTERM, "registered service ends by SIGTERM", 0.5),
            (signal.SIGKILL, "registered service is killed", SESSION + 2.0),
        ):
            with member(site, service) as process:
                eventually(lambda: not gone(), timeout=10)
                process.send_signal(sent)
                began = time.monotonic()
                eventually(gone, timeout=SESSION + 10)
                check(what, "gone from the lists", time.monotonic() - began, bound)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(5)
