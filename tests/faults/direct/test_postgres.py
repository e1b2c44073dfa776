"""PostgreSQL read-only, or ending every connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
import psycopg
import pytest
from scripts.services.postgres import url

from configkit.errors import UnavailableError
from tests.faults.direct.figures import check
from tests.faults.direct.site import DEADLINE, SLACK, Site
from tests.faults.direct.test_hangs import NETWORK
from tests.faults.direct.test_outages import BUSY, CONVERGED, READ
from tests.faults.direct.watching import story
from tests.faults.processes import ServerProcess
from tests.waiting import eventually

END_ALL = "SELECT pg_terminate_backend(pid), pid FROM pg_stat_activity WHERE usename = 'configkit'"


@contextmanager
def superuser(site: Site) -> Iterator[psycopg.Connection]:
    """Give a connection that may do everything."""
    place = site.systems["postgres"].place
    with psycopg.connect(url(place, "postgres", place.passwords["superuser"]), autocommit=True) as connection:
        yield connection


def still_there(connection: psycopg.Connection, pids: list[int]) -> bool:
    """Return whether any of the backends *pids* has not ended yet."""
    return connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)", [pids]).fetchone() is not None


def set_read_only(connection: psycopg.Connection, state: str) -> None:
    connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {state}".encode())
    connection.execute("SELECT pg_reload_conf()")


def test_a_database_that_is_read_only(site: Site, server: ServerProcess) -> None:
    fault = "postgres read-only"
    with story(site, server) as told, superuser(site) as connection:
        connection.execute("SET default_transaction_read_only = off")
        set_read_only(connection, "on")
        try:
            with told.in_use():
                writes: dict[str, Callable[[], httpx2.Response]] = {
                    "a value": lambda: told.api.put("k", 5),
                    "a flag": lambda: told.api.set_flag(told.flag, on=True),
                    "an instance": lambda: told.api.register("another"),
                }
                for what, write in writes.items():
                    began = time.monotonic()
                    answer = write()
                    check(fault, f"answer to a write of {what}", time.monotonic() - began, DEADLINE + SLACK, tolerance=NETWORK)
                    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "1"), answer.text
                with pytest.raises(UnavailableError):
                    told.kit.config.set("k", 5)
                assert told.api.get("k", fresh=True).status_code == 200
            check(fault, "errors of reads", len(told.wrong), 0, "errors")
            check(fault, "slowest read", max(told.slowest.values()), READ, tolerance=BUSY)
        finally:
            set_read_only(connection, "off")
        check(fault, "all well again after it", told.seconds_to_converge(), CONVERGED)


def test_a_database_that_takes_another_password(site: Site, server: ServerProcess) -> None:
    fault = "postgres takes another password"
    password = site.systems["postgres"].place.passwords["configkit"]
    with story(site, server) as told, superuser(site) as connection:
        connection.execute("ALTER ROLE configkit PASSWORD 'another'")
        try:
            connection.execute(END_ALL)
            with told.in_use():
                began = time.monotonic()
                answer = told.api.put("k", 5)
                check(fault, "answer to a write", time.monotonic() - began, DEADLINE + SLACK, tolerance=NETWORK)
                assert answer.status_code in (403, 503), answer.text
                assert password not in answer.text
                threading.Event().wait(6)  # longer than the tokens are taken for fresh
            assert not told.wrong, told.wrong[:3]
            check(fault, "errors of reads", len(told.wrong), 0, "errors")
        finally:
            connection.execute(f"ALTER ROLE configkit PASSWORD '{password}'".encode())
        check(fault, "all well again after it", told.seconds_to_converge(), CONVERGED)


def test_a_database_that_ends_every_connection(site: Site, server: ServerProcess) -> None:
    fault = "postgres ends every connection"
    with story(site, server) as told, superuser(site) as connection:
        statuses = []
        with told.in_use():
            for number in range(5):
                ended = [pid for _, pid in connection.execute(END_ALL).fetchall()]
                eventually(lambda ended=ended: not still_there(connection, ended))  # type: ignore[misc]
                statuses += [told.api.put("k", number).status_code, told.api.set_flag(told.flag, on=False).status_code]
        check(fault, "writes right after it that failed, of 10", len([one for one in statuses if one != 200]), 0, "errors")
        check(fault, "errors of reads", len(told.wrong), 0, "errors")
        check(fault, "all well again after it", told.seconds_to_converge(), CONVERGED)
