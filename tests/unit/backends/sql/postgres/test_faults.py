"""Real faults: what the server refuses, how it dies and hangs, and that every call is answered in time."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from scripts.services import Server

from configkit.backends.sql import open_postgres
from configkit.backends.sql.postgres.log import PostgresLog
from configkit.backends.sql.postgres.opening import PostgresPieces
from configkit.errors import AccessDeniedError, ClosedError, ConfigKitError, UnavailableError
from configkit.flags.model import Flag
from configkit.models import ConfigPath, Event, FlagChanged, Origin, Resync, ServiceInstance
from tests.unit.backends.sql.postgres.conftest import Open
from tests.waiting import eventually

ORIGIN = Origin("ann")
CANARY = "canary-9d2e"


@contextmanager
def own(server: Server, **options: Any) -> Iterator[PostgresPieces]:
    given = {"migrate": True, "role": "server", "deadline": 2.0, **options}
    pieces = open_postgres(server.env["DATABASE_URL"], **given)
    try:
        yield pieces
    finally:
        pieces.close()


def answered_within(seconds: float, call: Callable[[], object]) -> ConfigKitError:
    begun = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        call()
    assert time.monotonic() - begun < seconds
    return caught.value


def with_password(url: str, password: str) -> str:
    scheme, _, rest = url.partition("://")
    account, _, where = rest.rpartition("@")
    return f"{scheme}://{account.partition(':')[0]}:{password}@{where}"


def test_a_wrong_password_is_denied_and_shown_nowhere(shared_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessDeniedError, match="check DATABASE_URL") as caught:
        open_postgres(with_password(shared_url, CANARY), migrate=True, role="server")
    assert CANARY not in "".join(traceback.format_exception(caught.value)) + caplog.text


def test_an_unknown_user_is_denied(shared_url: str) -> None:
    with pytest.raises(AccessDeniedError):
        open_postgres(shared_url.replace("//configkit:", "//stranger:"), migrate=False, role="library")


def test_a_user_that_may_not_make_a_schema_is_denied_with_the_remedy(server: Server) -> None:
    with own(server) as pieces, pieces.database.connect(time.monotonic() + 5) as connection:
        connection.execute("REVOKE CREATE ON DATABASE configkit FROM configkit")
        try:
            with pytest.raises(AccessDeniedError, match="configkit migrate"), own(server, schema="another"):
                pass
        finally:
            connection.execute("GRANT CREATE ON DATABASE configkit TO configkit")


def test_a_database_that_does_not_exist_is_unavailable_and_says_so(shared_url: str) -> None:
    pieces = open_postgres(shared_url.rpartition("/")[0] + "/nowhere", migrate=True, role="server")
    try:
        assert "create the database" in str(answered_within(2.0, pieces.ping))
    finally:
        pieces.close()


def test_no_error_shows_a_value_a_statement_or_the_password(shared_url: str, pieces: PostgresPieces, opened: Open) -> None:
    pieces.flags.create(Flag("new_ui", "staging", description=CANARY), origin=ORIGIN)
    with pytest.raises(ConfigKitError) as caught, pieces.database.writing("test") as connection:
        connection.exec_driver_sql("INSERT INTO flag SELECT * FROM flag")
    shown = str(caught.value)
    password = shared_url.rpartition("@")[0].rpartition(":")[2]
    assert CANARY not in shown
    assert "INSERT" not in shown
    assert password not in shown + repr(pieces) + repr(pieces.database) + repr(vars(pieces.database.target.__class__))


def test_what_postgres_cannot_store_is_refused_without_showing_it(pieces: PostgresPieces) -> None:
    from configkit.errors import InvalidDocumentError

    def store(text: str) -> None:
        with pieces.database.writing("test") as connection:
            connection.exec_driver_sql("INSERT INTO meta VALUES ('x', %s)", (text,))

    for text in (f"{CANARY}\x00", f"{CANARY}\ud800"):
        with pytest.raises(InvalidDocumentError) as caught:
            store(text)
        assert CANARY not in str(caught.value)


def test_a_read_only_database_answers_reads_and_says_why_it_does_not_write(server: Server) -> None:
    with own(server) as pieces, pieces.database.connect(time.monotonic() + 5) as admin:
        pieces.flags.create(Flag("there", "read-only"), origin=ORIGIN)
        admin.execute("ALTER ROLE configkit SET default_transaction_read_only = on")
        try:
            with own(server) as late:
                with pytest.raises(UnavailableError, match=r"is read-only .*; point DATABASE_URL to the primary"):
                    late.flags.update("read-only", "there", {"is_enabled": True}, origin=ORIGIN)
                assert late.flags.read("read-only", "there").version == 1
        finally:
            admin.execute("ALTER ROLE configkit RESET default_transaction_read_only")


def test_a_standby_is_read_from_and_written_once_it_was_promoted(server: Server) -> None:
    with own(server) as pieces:
        pieces.flags.create(Flag("there", "standby"), origin=ORIGIN)
        server.stop()
        (server.place.data / "standby.signal").touch(0o644)
        server.start()
        assert pieces.flags.read("standby", "there").version == 1
        for write in (
            lambda: pieces.flags.update("standby", "there", {"is_enabled": True}, origin=ORIGIN),
            lambda: pieces.registry.register(ServiceInstance("svc", "http://10.0.0.1:1"), origin=ORIGIN),
            lambda: pieces.changes.intend("create", ConfigPath("development", "svc", "key"), origin=ORIGIN),
        ):
            assert "read-only (a standby, or in recovery)" in str(answered_within(2.1, write))
        promote(server)
        eventually(lambda: _writes(pieces), timeout=5.0)


def promote(server: Server) -> None:
    password = server.place.passwords["superuser"]
    with psycopg.connect(
        server.env["DATABASE_URL"].replace("//configkit:", "//postgres:"), password=password, autocommit=True
    ) as admin:
        admin.execute("SELECT pg_promote()")


def _writes(pieces: PostgresPieces) -> bool:
    try:
        pieces.flags.update("standby", "there", {"is_enabled": True}, origin=ORIGIN)
    except UnavailableError:
        return False
    return True


def test_a_server_that_is_not_there_costs_less_than_a_second_at_the_start_and_is_used_once_it_is(server: Server) -> None:
    with own(server) as first:
        first.flags.create(Flag("there", "early"), origin=ORIGIN)
    server.stop()
    begun = time.monotonic()
    with own(server) as pieces:
        assert time.monotonic() - begun < 1.0
        answered_within(2.1, lambda: pieces.flags.load("early"))
        answered_within(2.1, lambda: pieces.bus.subscribe(lambda event: None))
        server.start()
        assert pieces.flags.read("early", "there").version == 1


def test_connections_that_died_with_the_server_are_replaced_and_nobody_sees_an_error(server: Server) -> None:
    with own(server) as pieces:
        pieces.flags.create(Flag("before", "restart"), origin=ORIGIN)
        told: list[Event] = []
        pieces.bus.subscribe(told.append)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda _: pieces.flags.load("restart"), range(30)))
        server.kill()
        answered_within(2.1, lambda: pieces.flags.load("restart"))
        server.start()
        back = time.monotonic()
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda _: pieces.flags.load("restart"), range(30)))
        assert all(each is not None and "before" in each.flags for each in found)
        pieces.flags.create(Flag("after", "restart"), origin=ORIGIN)
        eventually(lambda: any(isinstance(event, FlagChanged) for event in told))
        eventually(lambda: any(isinstance(event, Resync) for event in told))
        assert time.monotonic() - back < 5.0


def test_a_server_that_hangs_costs_the_deadline_and_is_used_again_once_it_goes_on(server: Server) -> None:
    with own(server, deadline=1.0) as pieces:
        pieces.flags.create(Flag("there", "hang"), origin=ORIGIN)
        server.pause()
        try:
            with ThreadPoolExecutor(4) as pool:
                calls = [
                    lambda: pieces.flags.load("hang"),
                    lambda: pieces.flags.create(Flag("more", "hang"), origin=ORIGIN),
                    pieces.registry.services,
                    pieces.ping,
                ]
                list(pool.map(lambda call: answered_within(1.25, call), calls))
            # None of the old connections is left now, and new ones are not answered either.
            answered_within(1.25, pieces.ping)
            begun = time.monotonic()
            with own(server) as late:
                assert time.monotonic() - begun < 1.0
                answered_within(2.25, late.ping)
        finally:
            server.resume()
        eventually(lambda: _answers(pieces), timeout=5.0)
        assert pieces.flags.read("hang", "there").version == 1


def test_closing_while_the_server_hangs_takes_a_second_and_leaves_no_socket(server: Server) -> None:
    with own(server, deadline=3.0) as pieces:
        end = pieces.bus.subscribe(lambda event: None)
        thread = pieces.bus._thread
        assert thread is not None
        server.pause()
        try:
            pieces.bus.committed()
            eventually(pieces.bus._lock.locked)
            begun = time.monotonic()
            end()
            pieces.close()
            assert time.monotonic() - begun < 1.2
            eventually(lambda: not thread.is_alive(), timeout=5.0)
        finally:
            server.resume()
    log = pieces.bus._log
    assert isinstance(log, PostgresLog)
    assert (log._connection, log._ear.fileno(), log._mouth.fileno()) == (None, -1, -1)


def _answers(pieces: PostgresPieces) -> bool:
    try:
        pieces.ping()
    except UnavailableError:
        return False
    return True


def test_a_statement_that_takes_too_long_ends_in_the_server_too(opened: Open, look: psycopg.Connection[Any]) -> None:
    pieces = opened(deadline=1.0)

    def sleep() -> None:
        with pieces.database.reading("test") as connection:
            connection.exec_driver_sql("SELECT pg_sleep(30)")

    error = answered_within(1.25, sleep)
    assert "did not" in str(error)
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%' AND state = 'active'"
    eventually(lambda: look.execute(running).fetchone() == (0,), timeout=5.0)


def test_a_lock_of_somebody_else_costs_the_deadline(opened: Open, look: psycopg.Connection[Any]) -> None:
    pieces = opened(deadline=1.0)
    pieces.flags.create(Flag("new_ui", "staging"), origin=ORIGIN)
    with look.transaction():
        look.execute("SELECT seq FROM journal_head FOR UPDATE")
        error = answered_within(1.25, lambda: pieces.flags.create(Flag("other", "staging"), origin=ORIGIN))
        assert "in use: others have been writing for too long" in str(error)
        assert pieces.flags.read("staging", "new_ui").version == 1
    assert pieces.flags.create(Flag("other", "staging"), origin=ORIGIN).version == 2


def test_more_callers_than_connections_wait_for_their_turn(opened: Open) -> None:
    pieces = opened(role="library")
    with ThreadPoolExecutor(24) as pool:
        assert len(list(pool.map(lambda _: pieces.flags.load("staging"), range(240)))) == 240


def test_a_process_keeps_to_its_number_of_connections(opened: Open, look: psycopg.Connection[Any], schema: str) -> None:
    pieces = opened(role="library")

    def nap(_: int) -> None:
        with pieces.database.reading("test") as connection:
            connection.exec_driver_sql(f"SELECT pg_sleep(0.2) /* {schema} */")

    with ThreadPoolExecutor(12) as pool:
        naps = pool.map(nap, range(12))
        counted = f"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* {schema} */' AND query NOT LIKE '%count%'"
        counts = {row[0] for _ in range(10) if (row := look.execute(counted).fetchone()) is not None}
        list(naps)
    assert max(counts) <= 4


def test_what_is_asked_after_closing_is_refused(opened: Open, look: psycopg.Connection[Any]) -> None:
    pieces = opened()
    pieces.flags.load("staging")
    pieces.bus.subscribe(lambda event: None)
    pieces.close()
    pieces.close()
    for call in (lambda: pieces.flags.load("staging"), pieces.ping, lambda: pieces.bus.subscribe(lambda event: None)):
        with pytest.raises(ClosedError):
            call()
