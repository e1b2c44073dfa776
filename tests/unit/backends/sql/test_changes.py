"""Claims on intents and announcements in a file, by an injected clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from configkit.backends.memory import open_memory
from configkit.backends.sql.clock import Clock
from configkit.backends.sql.migrate import HEAD
from configkit.models import ConfigPath, Origin
from configkit.ports import Backends, ChangeJournal
from tests.unit.backends.sql.conftest import Open

ORIGIN = Origin("ann")
PATH = ConfigPath("development", "svc", "key")


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 11, 26, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["sqlite", "memory"])
def changes(request: pytest.FixtureRequest, opened: Open, time: Time) -> ChangeJournal:
    backends: Backends = opened(clock=Clock(now=time.now)) if request.param == "sqlite" else open_memory(clock=lambda: time.seconds)
    assert backends.changes is not None
    return backends.changes


def test_a_claim_that_is_not_honoured_within_ten_seconds_is_void(changes: ChangeJournal, time: Time) -> None:
    changes.commit(changes.intend("create", PATH, origin=ORIGIN), 1)
    begun = changes.intend("update", PATH, origin=ORIGIN)
    claimed = changes.unpublished()
    assert len(claimed) == 1
    assert changes.unresolved(older_than=0) == [begun]
    time.seconds += 9
    assert (changes.unpublished(), changes.unresolved(older_than=0)) == ([], [])
    time.seconds += 2
    assert (changes.unpublished(), changes.unresolved(older_than=0)) == (claimed, [begun])


def test_an_intent_is_unresolved_from_its_age_on(changes: ChangeJournal, time: Time) -> None:
    begun = changes.intend("update", PATH, origin=ORIGIN)
    time.seconds += 9
    assert changes.unresolved(older_than=10) == []
    time.seconds += 1
    assert changes.unresolved(older_than=10) == [begun]


def test_what_lay_in_the_journal_before_the_migration_is_not_announced(opened: Open, file: object) -> None:
    import sqlite3
    from contextlib import closing
    from pathlib import Path

    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    from configkit.backends import sql

    assert isinstance(file, Path)
    file.parent.mkdir()
    config = Config()
    config.set_main_option("script_location", str(Path(sql.__file__).parent / "migrations"))
    with create_engine(f"sqlite:///{file}", poolclass=NullPool).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO journal (kind, action, environment, name, version, deleted, changed_by, source, at)"
            " VALUES ('flag', 'create', 'staging', 'old', 1, 0, 'ann', '', 1900000000000000)"
        )
    backends = opened()
    assert backends.changes is not None
    assert backends.journal is not None
    assert backends.changes.unpublished() == []
    assert [line.subject for line in backends.journal.entries(limit=5)] == ["staging/old"]
    with closing(sqlite3.connect(file)) as found:
        assert found.execute("SELECT version_num FROM schema_version").fetchone() == (HEAD,)
