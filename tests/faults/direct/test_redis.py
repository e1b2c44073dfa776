"""Redis emptied, full, behind another password or read-only: a miss, and writes succeed. (10 000 races: tests/unit/backends/redis.)"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis as driver

from tests.faults.direct.figures import check
from tests.faults.direct.site import Site
from tests.faults.direct.test_outages import BUSY, CONVERGED, READ
from tests.faults.direct.watching import story
from tests.faults.processes import ServerProcess


@contextmanager
def plain(site: Site) -> Iterator[driver.Redis]:
    """Give a plain client."""
    with driver.Redis(port=site.port("redis"), password=site.variables["REDIS_PASSWORD"]) as client:
        yield client


def flushed(client: driver.Redis, password: str) -> Callable[[], object]:
    del password
    client.flushall()
    return lambda: None


def full(client: driver.Redis, password: str) -> Callable[[], object]:
    del password
    client.config_set("maxmemory", "1mb")
    return lambda: client.config_set("maxmemory", "256mb")


def full_and_keeping(client: driver.Redis, password: str) -> Callable[[], object]:
    del password
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1mb")

    def undo() -> None:
        client.config_set("maxmemory", "256mb")
        client.config_set("maxmemory-policy", "allkeys-lru")

    return undo


def another_password(client: driver.Redis, password: str) -> Callable[[], object]:
    client.config_set("requirepass", "another")
    client.client_kill_filter(skipme=True, _type="normal")
    return lambda: client.config_set("requirepass", password)


def read_only(client: driver.Redis, password: str) -> Callable[[], object]:
    del password
    client.replicaof("127.0.0.1", "1")
    return lambda: client.replicaof("NO", "ONE")


@pytest.mark.parametrize("harm", [flushed, full, full_and_keeping, another_password, read_only])
def test_a_redis_that_is_of_no_use(
    harm: Callable[[driver.Redis, str], Callable[[], object]], site: Site, server: ServerProcess
) -> None:
    fault = f"redis {harm.__name__.replace('_', ' ')}"
    with story(site, server) as told, plain(site) as client:
        undo = harm(client, site.variables["REDIS_PASSWORD"])
        try:
            with told.in_use():
                began = time.monotonic()
                statuses = [told.api.create(f"new-{number}", number).status_code for number in range(20)]
                statuses += [told.api.put("k", number).status_code for number in range(1000, 1020)]
                statuses += [told.api.get("k", fresh=True).status_code for _ in range(20)]
                each = (time.monotonic() - began) / len(statuses)
                assert told.api.get("k").json()["value"] == 1019
            check(fault, "writes and reads that failed, of 60", len([one for one in statuses if one >= 300]), 0, "errors")
            check(fault, "mean of a write or a fresh read", each, READ)
            check(fault, "errors of reads", len(told.wrong), 0, "errors")
            check(fault, "slowest read", max(told.slowest.values()), READ, tolerance=BUSY)
            check(fault, "a change is seen while it lasts", told.seconds_to_converge(), CONVERGED)
        finally:
            undo()
        check(fault, "all well again after it", told.seconds_to_converge(), CONVERGED)
