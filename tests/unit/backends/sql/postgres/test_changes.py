"""Claims on intents and announcements, and what becomes of them with time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from configkit.backends.sql.postgres.opening import PostgresPieces
from configkit.models import ConfigChanged, ConfigPath, Origin, Resync
from tests.unit.backends.sql.postgres.conftest import Open

ORIGIN = Origin("ann")
PATH = ConfigPath("development", "svc", "key")


def test_a_claim_that_is_not_honoured_within_ten_seconds_is_void(pieces: PostgresPieces, look: psycopg.Connection[Any]) -> None:
    changes = pieces.changes
    changes.commit(changes.intend("create", PATH, origin=ORIGIN), 1)
    begun = changes.intend("update", PATH, origin=ORIGIN)
    claimed = changes.unpublished()
    assert len(claimed) == 1
    assert changes.unresolved(older_than=0) == [begun]
    for seconds, events, intents in ((9, [], []), (2, claimed, [begun])):
        for table in ("journal", "intent"):
            look.execute(f"UPDATE {table} SET claimed_at = claimed_at - {seconds} * 1000000")
        assert changes.unpublished() == events
        assert changes.unresolved(older_than=0) == intents


def test_a_claim_from_the_future_is_of_a_clock_that_was_set_back(pieces: PostgresPieces, look: psycopg.Connection[Any]) -> None:
    pieces.changes.commit(pieces.changes.intend("create", PATH, origin=ORIGIN), 1)
    claimed = pieces.changes.unpublished()
    look.execute("UPDATE journal SET claimed_at = claimed_at + 3600 * 1000000::bigint")
    assert pieces.changes.unpublished() == claimed


def test_what_nobody_has_announced_for_a_day_is_not_announced_any_more(
    pieces: PostgresPieces, look: psycopg.Connection[Any]
) -> None:
    for version in (1, 2):
        pieces.changes.commit(pieces.changes.intend("update", PATH, origin=ORIGIN), version)
    look.execute("UPDATE journal SET at = at - 25 * 3600 * 1000000::bigint WHERE version = 1")
    (event,) = pieces.changes.unpublished()
    assert isinstance(event, ConfigChanged)
    assert event.version == 2


def test_looking_for_what_is_to_be_announced_uses_its_index(pieces: PostgresPieces, look: psycopg.Connection[Any]) -> None:
    look.execute(
        "INSERT INTO journal (seq, kind, action, deleted, changed_by, source, at, published)"
        " SELECT n, 'flag', 'update', false, 'ann', '', 0, n < 99990 FROM generate_series(1, 100000) n"
    )
    look.execute("ANALYZE journal")
    plan = look.execute("EXPLAIN SELECT seq FROM journal WHERE NOT published ORDER BY seq LIMIT 500").fetchall()
    assert "journal_unpublished" in str(plan)
    assert pieces.changes.unpublished() == []


def test_a_claim_that_came_just_after_our_own_look_at_the_clock_holds(
    pieces: PostgresPieces, look: psycopg.Connection[Any]
) -> None:
    pieces.changes.commit(pieces.changes.intend("create", PATH, origin=ORIGIN), 1)
    pieces.changes.intend("update", PATH, origin=ORIGIN)
    for table in ("journal", "intent"):
        look.execute(f"UPDATE {table} SET claimed_at = (extract(epoch FROM clock_timestamp()) * 1000000 + 2000000)::bigint")
    assert pieces.changes.unpublished() == []
    assert pieces.changes.unresolved(older_than=0) == []


def test_eight_callers_that_claim_at_once_get_each_change_and_intent_once(opened: Open) -> None:
    clients = [opened() for _ in range(2)]
    for _ in range(60):
        clients[0].changes.intend("update", PATH, origin=ORIGIN)
        clients[0].changes.commit(clients[0].changes.intend("create", PATH, origin=ORIGIN), 1)

    def claim(number: int) -> list[str]:
        changes, claimed = clients[number % 2].changes, []
        for _ in range(40):
            claimed += [intent.id for intent in changes.unresolved(older_than=0, limit=2)]
            claimed += [event.id for event in changes.unpublished(limit=2) if not isinstance(event, Resync)]
        return claimed

    with ThreadPoolExecutor(8) as pool:
        claims = [each for run in pool.map(claim, range(8)) for each in run]
    assert len(claims) == len(set(claims)) == 120
