"""Leases by the database's clock, and many servers that look after the same instances at once."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from configkit.backends.sql.postgres.opening import PostgresPieces
from configkit.errors import NotFoundError
from configkit.models import HealthCheck, Origin, ServiceInstance
from tests.unit.backends.sql.postgres.conftest import Open

ORIGIN = Origin("ann")
URL = "http://10.0.0.1:1"
HEALTH = "http://10.0.0.1:1/health"


def pass_time(look: psycopg.Connection[Any], seconds: float) -> None:
    """Make everything that was written older."""
    look.execute(
        "UPDATE instance SET expires_mono = expires_mono - %(s)s, checked_mono = checked_mono - %(s)s,"
        " unhealthy_mono = unhealthy_mono - %(s)s",
        {"s": seconds},
    )


def test_a_lease_lasts_for_its_length_by_the_databases_clock(pieces: PostgresPieces, look: psycopg.Connection[Any]) -> None:
    instance, _ = pieces.registry.register(ServiceInstance("svc", URL), ttl_seconds=10, origin=ORIGIN)
    found = look.execute("SELECT expires_mono - extract(epoch FROM now()) FROM instance").fetchone()
    assert found is not None
    assert 8 < found[0] <= 10
    pass_time(look, 8)
    assert [each.instance_id for each in pieces.registry.instances("svc")] == [instance.instance_id]
    pass_time(look, 2.1)
    assert pieces.registry.instances("svc") == []
    assert pieces.registry.services() == []
    with pytest.raises(NotFoundError):
        pieces.registry.heartbeat("svc", instance.instance_id)
    assert pieces.registry.sweep() == [("svc", instance.instance_id)]


def test_a_heartbeat_renews_the_lease(pieces: PostgresPieces, look: psycopg.Connection[Any]) -> None:
    instance, _ = pieces.registry.register(ServiceInstance("svc", URL), ttl_seconds=10, origin=ORIGIN)
    pass_time(look, 8)
    assert instance.expires_at is not None
    assert pieces.registry.heartbeat("svc", instance.instance_id) - instance.expires_at < timedelta(seconds=5)
    pass_time(look, 8)
    assert len(pieces.registry.instances("svc")) == 1


def test_a_check_is_due_after_its_interval_and_the_one_that_waited_longest_comes_first(
    pieces: PostgresPieces, look: psycopg.Connection[Any]
) -> None:
    for name in ("one", "two", "three"):
        pieces.registry.register(ServiceInstance("svc", URL, HEALTH, name), origin=ORIGIN)
        assert [each.instance_id for each in pieces.registry.due_checks(interval=30)] == [name]
        pass_time(look, 5)
    assert pieces.registry.due_checks(interval=30) == []
    pass_time(look, 20.5)
    pieces.registry.register(ServiceInstance("svc", URL, HEALTH, "never"), origin=ORIGIN)
    pass_time(look, 0)
    assert [each.instance_id for each in pieces.registry.due_checks(interval=30, limit=2)] == ["never", "one"]
    assert [each.instance_id for each in pieces.registry.due_checks(interval=30)] == ["two"]


def test_what_is_unhealthy_for_ten_minutes_is_swept(pieces: PostgresPieces, look: psycopg.Connection[Any]) -> None:
    pieces.registry.register(ServiceInstance("svc", URL, HEALTH, "sick"), origin=ORIGIN)
    pieces.registry.record_check("svc", HealthCheck("sick", healthy=False, response_time_ms=1), "unhealthy")
    pass_time(look, 599)
    assert pieces.registry.sweep() == []
    pass_time(look, 2)
    assert pieces.registry.sweep() == [("svc", "sick")]


def test_servers_that_work_on_the_same_instances_neither_fail_nor_wait_in_a_circle(
    opened: Open, look: psycopg.Connection[Any]
) -> None:
    servers = [opened() for _ in range(2)]
    names = [f"node-{number}" for number in range(6)]
    ended = threading.Event()
    turns = itertools.count()

    def register() -> None:
        for name in names * 6:
            servers[next(turns) % 2].registry.register(ServiceInstance("svc", URL, HEALTH, name), ttl_seconds=5, origin=ORIGIN)

    def leave() -> None:
        for name in reversed(names * 6):
            try:
                servers[next(turns) % 2].registry.deregister("svc", name, origin=ORIGIN)
            except NotFoundError:
                continue

    def check() -> None:
        while not ended.is_set():
            server = servers[next(turns) % 2]
            for due in server.registry.due_checks(interval=0, limit=3):
                status = ("healthy", "unhealthy")[next(turns) % 2]
                check = HealthCheck(due.instance_id, healthy=status == "healthy", response_time_ms=1)
                server.registry.record_check("svc", check, status)

    def sweep() -> None:
        while not ended.is_set():
            servers[next(turns) % 2].registry.sweep(unhealthy_for=0)
            pass_time(look, 2)

    with ThreadPoolExecutor(6) as pool:
        watching = [pool.submit(check), pool.submit(check), pool.submit(sweep)]
        for working in [pool.submit(register), pool.submit(register), pool.submit(leave)]:
            working.result(60)
        ended.set()
        for each in watching:
            each.result(10)
    (numbers,) = look.execute("SELECT array_agg(seq ORDER BY seq) FROM journal").fetchone() or ([],)
    assert numbers == list(range(1, len(numbers) + 1))
