"""Telling of changes on one file."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from configkit.backends.sql.bus import JournalBus
from configkit.backends.sql.clock import Clock
from configkit.backends.sql.sqlite_log import SqliteLog
from configkit.flags.model import Flag
from configkit.models import (
    AccessChanged,
    ConfigChanged,
    ConfigPath,
    Event,
    FlagChanged,
    HealthCheck,
    Origin,
    RegistryChanged,
    Resync,
    ServiceInstance,
)
from configkit.ports import Backends, Token
from tests.unit.backends.sql.conftest import Open
from tests.waiting import eventually

ORIGIN = Origin("ann", "test")


def path(key: str) -> ConfigPath:
    return ConfigPath("development", "svc", key)


def put(backends: Backends, key: str) -> None:
    backends.config.create(path(key), key, is_encrypted=False, origin=ORIGIN)


def keys(events: list[Event]) -> list[str]:
    return [each.path.key for each in events if isinstance(each, ConfigChanged)]


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collects what goes to any database by SQLAlchemy."""
    seen: list[str] = []

    def note(conn: object, cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_every_kind_of_change_is_told_with_its_place_in_the_journal(opened: Open) -> None:
    one, other = opened(), opened()
    assert one.tokens is not None
    told: list[Event] = []
    other.bus.subscribe(told.append)
    put(one, "key")
    one.config.delete(path("key"), origin=ORIGIN)
    one.flags.create(Flag("new_ui", "staging"), origin=ORIGIN)
    one.flags.delete("staging", "new_ui", origin=ORIGIN)
    one.registry.register(ServiceInstance("svc", "http://10.0.0.1:1"), origin=ORIGIN)
    one.tokens.create(Token("ci", "digest", frozenset(["admin"])), origin=ORIGIN)
    eventually(lambda: len(told) == 6)
    config, gone, flag, no_flag, registry, access = told
    assert isinstance(config, ConfigChanged)
    assert isinstance(gone, ConfigChanged)
    assert (config.version, config.deleted, gone.version, gone.deleted, config.changed_by) == (1, False, 1, True, "ann")
    assert isinstance(flag, FlagChanged)
    assert isinstance(no_flag, FlagChanged)
    assert (flag.environment, flag.name, flag.version, flag.deleted) == ("staging", "new_ui", 1, False)
    assert (no_flag.version, no_flag.deleted) == (2, True)
    assert isinstance(registry, RegistryChanged)
    assert registry.service_name == "svc"
    assert isinstance(access, AccessChanged)
    ids = [each.id for each in told if not isinstance(each, Resync)]
    log_ids = {each.rpartition("-")[0] for each in ids}
    assert len(log_ids) == 1
    assert [int(each.rpartition("-")[2]) for each in ids] == [1, 2, 3, 4, 5, 6]


def test_nothing_is_asked_of_the_database_while_nothing_changes(opened: Open) -> None:
    backends = opened()
    for number in range(50):
        put(backends, f"key{number}")
    told: list[Event] = []
    backends.bus.subscribe(told.append)
    put(backends, "last")
    eventually(lambda: told)
    assert isinstance(backends.bus, JournalBus)
    assert isinstance(backends.bus._log, SqliteLog)
    connection = backends.bus._log._connection
    assert connection is not None
    looks: list[str] = []
    with statements() as seen:
        connection.set_trace_callback(looks.append)
        eventually(lambda: len(looks) >= 5)
        connection.set_trace_callback(None)
    assert seen == []
    assert set(looks) == {"PRAGMA data_version"}


def test_a_change_of_this_process_is_told_without_waiting_for_the_next_look(opened: Open) -> None:
    backends = opened()
    assert isinstance(backends.bus, JournalBus)
    backends.bus._every = 30.0
    told: list[Event] = []
    backends.bus.subscribe(told.append)
    put(backends, "key")
    eventually(lambda: told, timeout=2.0)


def test_a_subscriber_is_told_of_nothing_before_it_subscribed(opened: Open) -> None:
    backends = opened()
    first: list[Event] = []
    second: list[Event] = []
    backends.bus.subscribe(first.append)
    put(backends, "one")
    backends.bus.subscribe(second.append)
    put(backends, "two")
    eventually(lambda: keys(first) == ["one", "two"])
    eventually(lambda: keys(second) == ["two"])


def test_a_subscriber_that_ended_is_told_no_more(opened: Open) -> None:
    backends = opened()
    first: list[Event] = []
    second: list[Event] = []
    end = backends.bus.subscribe(first.append)
    backends.bus.subscribe(second.append)
    put(backends, "one")
    eventually(lambda: keys(first) == ["one"])
    end()
    put(backends, "two")
    eventually(lambda: keys(second) == ["one", "two"])
    assert keys(first) == ["one"]


def test_a_subscriber_that_raises_is_logged_and_harms_nobody(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    backends = opened()
    told: list[Event] = []

    def fail(event: Event) -> None:
        raise RuntimeError("of the subscriber")

    backends.bus.subscribe(fail)
    backends.bus.subscribe(told.append)
    with caplog.at_level(logging.ERROR, logger="configkit.bus"):
        put(backends, "one")
        put(backends, "two")
        eventually(lambda: keys(told) == ["one", "two"])
    assert "of the subscriber" in caplog.text


def test_a_subscriber_may_write(opened: Open) -> None:
    backends = opened()
    told: list[Event] = []

    def answer(event: Event) -> None:
        told.append(event)
        if keys([event]) == ["one"]:
            put(backends, "two")

    backends.bus.subscribe(answer)
    put(backends, "one")
    eventually(lambda: keys(told) == ["one", "two"])


def test_more_changes_than_one_reading_takes_are_all_told(opened: Open) -> None:
    one, other = opened(), opened()
    assert one.journal is not None
    told: list[Event] = []
    other.bus.subscribe(told.append)
    one.journal.record_read([path("secret")] * 2500, origin=ORIGIN)
    put(one, "last")
    eventually(lambda: keys(told) == ["last"])
    assert len(told) == 1


def test_heartbeats_and_unchanged_checks_are_told_to_nobody(opened: Open) -> None:
    backends = opened()
    assert backends.records is not None
    told: list[Event] = []
    backends.registry.register(ServiceInstance("svc", "http://10.0.0.1:1", instance_id="leased"), origin=ORIGIN)
    checked = ServiceInstance("svc", "http://10.0.0.1:2", "http://10.0.0.1:2/health", instance_id="checked")
    backends.registry.register(checked, origin=ORIGIN)
    backends.bus.subscribe(told.append)
    backends.registry.heartbeat("svc", "leased")
    for _ in range(3):
        backends.records.record_check("svc", HealthCheck("checked", healthy=True, response_time_ms=1.0), "healthy")
    put(backends, "last")
    eventually(lambda: keys(told) == ["last"])
    assert [type(each) for each in told] == [RegistryChanged, ConfigChanged]


def backup(file: Path, to: Path) -> None:
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)


def test_a_restored_backup_is_a_resync_and_later_changes_are_told(opened: Open, file: Path, tmp_path: Path) -> None:
    backends = opened()
    put(backends, "one")
    backup(file, tmp_path / "backup.db")
    told: list[Event] = []
    backends.bus.subscribe(told.append)
    put(backends, "two")
    eventually(lambda: keys(told) == ["two"])
    backup(tmp_path / "backup.db", file)
    eventually(lambda: any(isinstance(each, Resync) for each in told))
    put(backends, "three")
    eventually(lambda: keys(told) == ["two", "three"])
    assert set(backends.config.read_service("development", "svc")) == {"one", "three"}


def test_a_restored_backup_that_was_written_to_at_once_is_a_resync(opened: Open, file: Path, tmp_path: Path) -> None:
    backends = opened()
    backup(file, tmp_path / "backup.db")
    assert isinstance(backends.bus, JournalBus)
    told: list[Event] = []
    put(backends, "one")
    backends.bus.subscribe(told.append)
    with backends.bus._lock:  # the poller is late
        backup(tmp_path / "backup.db", file)
        put(backends, "two")
        put(backends, "three")
    eventually(lambda: any(isinstance(each, Resync) for each in told))


def test_a_file_that_took_the_place_of_the_open_one_is_a_resync_and_is_what_is_written_to(
    opened: Open, file: Path, tmp_path: Path
) -> None:
    backends = opened(master_key="a passphrase of some length")
    assert isinstance(backends.bus, JournalBus)
    put(backends, "one")
    backup(file, tmp_path / "backup.db")
    told: list[Event] = []
    backends.bus.subscribe(told.append)
    with backends.bus._lock:  # the poller has read as far as the other file goes
        put(backends, "two")
        for suffix in ("-wal", "-shm"):
            file.with_name(f"configkit.db{suffix}").unlink()
        (tmp_path / "backup.db").replace(file)
    eventually(lambda: any(isinstance(each, Resync) for each in told))
    assert set(backends.config.read_service("development", "svc")) == {"one"}
    put(backends, "three")
    eventually(lambda: "three" in keys(told))
    assert set(opened(master_key="a passphrase of some length").config.read_service("development", "svc")) == {"one", "three"}


def test_rows_that_were_pruned_before_they_were_read_are_a_resync(opened: Open, file: Path) -> None:
    backends = opened()
    assert isinstance(backends.bus, JournalBus)
    put(backends, "zero")
    told: list[Event] = []
    backends.bus.subscribe(told.append)
    with backends.bus._lock:
        put(backends, "one")
        put(backends, "two")
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("DELETE FROM journal WHERE seq <= 2")
    eventually(lambda: any(isinstance(each, Resync) for each in told))


def test_pruning_what_was_read_is_no_gap(opened: Open) -> None:
    times = [datetime(2026, 1, 1, tzinfo=UTC)]
    backends = opened(clock=Clock(now=lambda: times[0]))
    assert backends.records is not None
    told: list[Event] = []
    backends.bus.subscribe(told.append)
    for key in ("one", "two", "three"):
        put(backends, key)
    eventually(lambda: len(told) == 3)
    times[0] += timedelta(days=91)
    assert backends.records.sweep() == []
    assert backends.journal is not None
    assert [entry.subject for entry in backends.journal.entries(limit=10)] == ["development/svc/three"]
    put(backends, "four")
    eventually(lambda: keys(told) == ["one", "two", "three", "four"])
    assert len(told) == 4


def test_the_poller_outlives_a_database_that_is_gone_for_a_while(
    opened: Open, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backends = opened()
    told: list[Event] = []
    backends.bus.subscribe(told.append)
    file.rename(file.with_name("away.db"))
    with pytest.raises(Exception, match="is gone"):
        put(backends, "one")
    eventually(lambda: "changes cannot be read" in caplog.text)
    file.with_name("away.db").rename(file)
    eventually(lambda: any(isinstance(each, Resync) for each in told))
    put(backends, "two")
    eventually(lambda: "two" in keys(told))
