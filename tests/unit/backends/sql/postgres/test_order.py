"""The journal's rows are numbered in the order of their commits and without holes, however many write at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from configkit.backends.sql.journal import of_config, record
from configkit.backends.sql.postgres.opening import PostgresPieces
from configkit.errors import UnavailableError
from configkit.flags.model import Flag
from configkit.models import ConfigPath, Event, FlagChanged, Origin
from tests.unit.backends.sql.postgres.conftest import Open, Work
from tests.waiting import eventually

ORIGIN = Origin("ann")
WRITERS = 8
EACH = 40


def test_a_reader_by_number_misses_nothing_of_eight_writers(opened: Open, look: psycopg.Connection[Any]) -> None:
    clients = [opened() for _ in range(2)]
    begun = threading.Event()
    ended = threading.Event()

    def read_on() -> list[int]:
        seen, last = [], 0
        begun.set()
        while True:
            over = ended.is_set()
            for (seq,) in look.execute("SELECT seq FROM journal WHERE seq > %s ORDER BY seq", [last]).fetchall():
                seen.append(seq)
                last = seq
            if over:
                return seen

    def write(number: int) -> None:
        for step in range(EACH):
            # Each in an environment of its own, so that nothing but the journal brings them into an order.
            name = f"flag-{number}-{step}"
            clients[number % 2].flags.create(Flag(name, f"env{number}"), origin=ORIGIN)

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        reader = pool.submit(read_on)
        begun.wait(5)
        for writer in [pool.submit(write, number) for number in range(WRITERS)]:
            writer.result()
        ended.set()
        assert reader.result() == list(range(1, WRITERS * EACH + 1))


def test_a_subscriber_is_told_of_every_change_of_eight_writers_once_and_in_order(opened: Open) -> None:
    reading, writing = opened(), opened()
    told: list[Event] = []
    reading.bus.subscribe(told.append)

    def write(number: int) -> None:
        for step in range(EACH):
            writing.flags.create(Flag(f"flag-{number}-{step}", f"env{number}"), origin=ORIGIN)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    eventually(lambda: len(told) >= WRITERS * EACH)
    assert all(isinstance(event, FlagChanged) for event in told)
    numbers = [int(event.id.rpartition("-")[2]) for event in told if isinstance(event, FlagChanged)]
    assert numbers == list(range(1, WRITERS * EACH + 1))


def test_a_change_that_is_rolled_back_leaves_no_hole(pieces: PostgresPieces, look: psycopg.Connection[Any]) -> None:
    pieces.flags.create(Flag("one", "staging"), origin=ORIGIN)
    path = ConfigPath("development", "svc", "key")

    def fail() -> None:
        with pieces.database.writing("test") as connection:
            record(connection, pieces.database.moment(connection).now, ORIGIN, of_config("create", path, 1))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    pieces.flags.create(Flag("two", "staging"), origin=ORIGIN)
    assert look.execute("SELECT array_agg(seq ORDER BY seq) FROM journal").fetchone() == ([1, 2],)


def test_a_later_number_is_not_to_be_seen_before_an_earlier_one_is_committed(opened: Open, look: psycopg.Connection[Any]) -> None:
    pieces = opened()
    path = ConfigPath("development", "svc", "key")
    first_is_in, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with pieces.database.writing("test") as connection:
            record(connection, pieces.database.moment(connection).now, ORIGIN, of_config("create", path, 1))
            first_is_in.set()
            go_on.wait(2)

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(slow)
        first_is_in.wait(5)
        two = pool.submit(pieces.flags.create, Flag("late", "staging"), origin=ORIGIN)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE journal_head%'"
        eventually(lambda: look.execute(waiting).fetchone() == (1,))
        assert look.execute("SELECT count(*) FROM journal").fetchone() == (0,)
        go_on.set()
        one.result(5)
        two.result(5)
    assert look.execute("SELECT array_agg(kind ORDER BY seq) FROM journal").fetchone() == (["config", "flag"],)


def test_processes_lose_no_step_of_the_environments_counter(opened: Open, work: Work) -> None:
    workers = [work("raise_counter", 50) for _ in range(4)]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors
    found = opened().flags.load("staging")
    assert found is not None
    assert found.version == 200
    assert sorted(flag.version for flag in found.flags.values()) == list(range(1, 201))


def test_a_writer_that_pauses_in_its_transaction_does_not_keep_the_others_from_writing(opened: Open) -> None:
    pieces = opened(deadline=2.0)
    path = ConfigPath("development", "svc", "key")

    def pause() -> None:
        with pieces.database.writing("test") as connection:
            record(connection, pieces.database.moment(connection).now, ORIGIN, of_config("create", path, 1))
            begun = time.monotonic()
            pieces.flags.create(Flag("other", "staging"), origin=ORIGIN)
            assert 0.8 < time.monotonic() - begun < 2.0

    with pytest.raises(UnavailableError, match=r"paused for too long|was lost"):
        pause()
    assert [line.subject for line in pieces.journal.entries(limit=5)] == ["staging/other"]
