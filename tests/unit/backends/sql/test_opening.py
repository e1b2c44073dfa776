"""Where the file is, how its tables come about, and what opening costs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from configkit.backends import sql
from configkit.backends.sql import migrate, open_sqlite
from configkit.backends.sql.schema import metadata
from configkit.backends.sql.sqlite import database_path
from configkit.errors import InvalidDocumentError, MissingExtraError
from configkit.models import ConfigPath, Origin
from tests.unit.backends.sql.conftest import Open


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ("sqlite:////var/lib/configkit.db", "/var/lib/configkit.db"),
        ("sqlite+pysqlite:////var/lib/configkit.db", "/var/lib/configkit.db"),
        ("sqlite:////var/lib/configkit.db?timeout=3", "/var/lib/configkit.db"),
        ("/var/lib/a b%20c.db", "/var/lib/a b%20c.db"),
        ("/var/lib/odd:name.db", "/var/lib/odd:name.db"),
    ],
)
def test_a_url_or_a_path_names_the_file(given: str, file: str) -> None:
    assert database_path(given) == Path(file).resolve()


def test_relative_names_and_the_home_folder_are_understood() -> None:
    assert database_path("sqlite:///configkit.db") == Path.cwd() / "configkit.db"
    assert database_path("~/configkit.db") == Path.home().resolve() / "configkit.db"


@pytest.mark.parametrize(
    "given", ["", ":memory:", "sqlite://", "sqlite:///", "sqlite:///:memory:", "postgresql://u:canary@h/d", "sqlite:x", "a\x00b"]
)
def test_what_names_no_file_is_refused_without_showing_it(given: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        database_path(given)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["with space.db", "per%cent.db", "que?ry#hash.db", "ünï.db"])
def test_odd_file_names_work(tmp_path: Path, opened: Open, name: str) -> None:
    file = tmp_path / name
    opened(file).config.create(ConfigPath("development", "svc", "key"), 1, is_encrypted=True, origin=Origin())
    assert opened(file).config.read(ConfigPath("development", "svc", "key")).value == 1
    assert file.exists()


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocumentError, match="is a folder"):
        open_sqlite(str(tmp_path), master_key=None)


def test_the_migrations_make_what_the_tables_say(opened: Open, file: Path) -> None:
    opened()
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "schema_version"})
        assert compare_metadata(context, metadata) == []


def test_the_newest_migration_is_the_one_that_opening_looks_for() -> None:
    scripts = ScriptDirectory(str(Path(sql.__file__).parent / "migrations"))
    assert scripts.get_current_head() == migrate.HEAD


def test_opening_a_migrated_file_needs_neither_alembic_nor_cryptography(opened: Open, file: Path) -> None:
    opened().close()
    program = f"""
import sys
from configkit.backends.sql import open_sqlite
open_sqlite({str(file)!r}, master_key=None).close()
print([name for name in ("alembic", "cryptography", "pydantic") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert "alembic" not in done.stdout
    assert "cryptography" not in done.stdout


def test_the_file_uses_a_log_waits_and_survives_power_loss(opened: Open, file: Path) -> None:
    from sqlalchemy import Connection

    from configkit.backends.sql.clock import Clock
    from configkit.backends.sql.engine import SqliteDatabase

    opened()
    database = SqliteDatabase(file, prepare=migrate.prepare, deadline=5.0, clock=Clock())

    def pragma(connection: Connection, name: str) -> Any:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

    try:
        with database.writing("test") as connection:
            found = [pragma(connection, name) for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")]
        assert found == ["wal", 2, 1, 1]
        with database.reading("test") as connection:
            assert (pragma(connection, "query_only"), pragma(connection, "busy_timeout")) == (1, 5000)
    finally:
        database.close()


def test_a_copy_that_lost_its_log_mode_gets_it_again(opened: Open, file: Path) -> None:
    opened().close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    opened()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_migration_that_fails_leaves_no_half_of_itself(opened: Open, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "token_hex", lambda count: 1 / 0)  # after the tables, before the commit
        with pytest.raises(ZeroDivisionError):
            opened()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    opened()


@pytest.mark.parametrize("package", ["sqlalchemy", "alembic", "cryptography"])
def test_a_missing_package_names_the_extra(file: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setattr(sql, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(MissingExtraError, match=r"configkit\[embedded\]"):
        open_sqlite(str(file), master_key=None)
    assert not file.exists()


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = (
        "import sys, configkit.backends.sql; print([n for n in ('sqlalchemy', 'alembic', 'cryptography') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
