"""Telling of changes: at once by the database's notices, and without them all the same."""

from __future__ import annotations

import statistics
import time
from typing import Any

import psycopg
import pytest

from configkit.backends.sql.postgres.log import PostgresLog
from configkit.backends.sql.postgres.opening import PostgresPieces
from configkit.errors import ConflictError
from configkit.flags.model import Flag
from configkit.models import ConfigPath, Event, FlagChanged, Origin, Resync, ServiceInstance
from configkit.ports import Token
from tests.unit.backends.sql.postgres.conftest import Open
from tests.waiting import eventually

ORIGIN = Origin("ann")


def _delays(reading: PostgresPieces, writing: PostgresPieces, count: int) -> list[float]:
    told: dict[str, float] = {}

    def note(event: Event) -> None:
        if isinstance(event, FlagChanged):
            told[event.name] = time.monotonic()

    end = reading.bus.subscribe(note)
    delays = []
    for number in range(count):
        name = f"flag-{number}"
        writing.flags.create(Flag(name, "staging"), origin=ORIGIN)
        written = time.monotonic()
        eventually(lambda name=name: name in told, every=0.002)  # type: ignore[misc]
        delays.append(told[name] - written)
    end()
    return delays


def test_notices_tell_of_another_clients_change_long_before_the_next_look(opened: Open) -> None:
    reading, writing = opened(), opened()
    reading.bus._every = 30.0
    assert statistics.median(_delays(reading, writing, 9)) < 0.25


def test_without_notices_a_change_is_told_within_a_second(opened: Open) -> None:
    reading, writing = opened(listens=False), opened()
    delays = _delays(reading, writing, 9)
    assert max(delays) < 1.0
    assert statistics.median(delays) > 0.02, "somebody must have told"


def test_a_client_is_told_of_its_own_change_without_a_notice_and_without_waiting(opened: Open) -> None:
    pieces = opened(listens=False)
    pieces.bus._every = 30.0
    assert statistics.median(_delays(pieces, pieces, 5)) < 0.25


def test_a_look_while_nothing_changes_is_one_small_query(opened: Open, look: psycopg.Connection[Any]) -> None:
    pieces = opened()
    pieces.bus.subscribe(lambda event: None)
    log = pieces.bus._log
    assert isinstance(log, PostgresLog)
    assert log._connection is not None
    pid = log._connection.info.backend_pid

    def last() -> tuple[str, object]:
        found = look.execute("SELECT query, query_start FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
        assert found is not None
        return str(found[0]), found[1]

    # The first look reads the rows, to know where it stands.
    eventually(lambda: pieces.bus._mark is not None and last()[0] == "SELECT seq FROM journal_head")
    looks = set()
    until = time.monotonic() + 1.2

    def watched() -> bool:
        looks.add(last())
        return time.monotonic() > until

    eventually(watched, every=0.05)
    assert {query for query, _ in looks} == {"SELECT seq FROM journal_head"}
    assert 2 <= len(looks) <= 5


def test_a_bus_whose_connection_was_ended_goes_on_and_says_that_something_may_be_missing(
    opened: Open, look: psycopg.Connection[Any]
) -> None:
    reading, writing = opened(), opened()
    told: list[Event] = []
    reading.bus.subscribe(told.append)
    log = reading.bus._log
    assert isinstance(log, PostgresLog)
    assert log._connection is not None
    look.execute("SELECT pg_terminate_backend(%s)", [log._connection.info.backend_pid])
    writing.flags.create(Flag("new_ui", "staging"), origin=ORIGIN)
    eventually(lambda: any(isinstance(event, FlagChanged) for event in told))
    eventually(lambda: any(isinstance(event, Resync) for event in told))


def test_rows_that_were_pruned_before_they_were_read_are_a_resync(opened: Open, look: psycopg.Connection[Any]) -> None:
    reading, writing = opened(listens=False), opened()
    reading.bus._every = 30.0
    told: list[Event] = []
    reading.bus.subscribe(told.append)
    for number in range(3):
        writing.flags.create(Flag(f"flag-{number}", "staging"), origin=ORIGIN)
    look.execute("DELETE FROM journal WHERE seq < 3")
    reading.bus.committed()
    eventually(lambda: told)
    assert told == [Resync("the journal was pruned before it was read")]
    writing.flags.create(Flag("after", "staging"), origin=ORIGIN)
    reading.bus.committed()
    eventually(lambda: len(told) == 2)
    assert isinstance(told[1], FlagChanged)


@pytest.mark.parametrize(
    "statement", ["UPDATE meta SET value = 'another' WHERE name = 'log_id'; UPDATE journal_head SET seq = seq + 1",
                  "DELETE FROM journal WHERE seq = 2; UPDATE journal_head SET seq = 1"],
)  # fmt: skip
def test_a_database_that_was_restored_or_replaced_is_a_resync(opened: Open, look: psycopg.Connection[Any], statement: str) -> None:
    pieces = opened()
    for number in range(2):
        pieces.flags.create(Flag(f"flag-{number}", "staging"), origin=ORIGIN)
    told: list[Event] = []
    pieces.bus.subscribe(told.append)
    look.execute(statement)
    pieces.bus.committed()
    eventually(lambda: told)
    assert told == [Resync("the database was replaced")]


class Following:
    """Counts what it is told of the journal."""

    def __init__(self) -> None:
        self.commits = 0

    def committed(self) -> None:
        self.commits += 1

    def after_fork(self) -> None:
        self.commits = 0


def test_only_what_is_written_to_the_journal_wakes_those_who_follow_it(pieces: PostgresPieces) -> None:
    following = Following()
    pieces.database.attach(following)
    pieces.registry.register(ServiceInstance("svc", "http://10.0.0.1:1", instance_id="one"), origin=ORIGIN)
    assert following.commits == 1
    pieces.registry.heartbeat("svc", "one")
    intent = pieces.changes.intend("create", ConfigPath("development", "svc", "key"), origin=ORIGIN)
    pieces.changes.published([event.id for event in pieces.changes.unpublished() if not isinstance(event, Resync)])
    pieces.tokens.create(Token("ci", "d", frozenset(["admin"])), origin=ORIGIN)
    with pytest.raises(ConflictError):
        pieces.tokens.create(Token("ci", "e", frozenset(["admin"])), origin=ORIGIN)
    assert following.commits == 2
    pieces.changes.commit(intent, 1)
    assert following.commits == 3


def test_closing_ends_the_thread_at_once(opened: Open) -> None:
    pieces = opened()
    pieces.bus.subscribe(lambda event: None)
    thread = pieces.bus._thread
    assert thread is not None
    begun = time.monotonic()
    pieces.close()
    pieces.close()
    assert time.monotonic() - begun < 0.5
    assert not thread.is_alive()
