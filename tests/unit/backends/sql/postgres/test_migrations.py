"""Making the tables: once, by whoever comes first, in a schema of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from configkit.backends.sql import migrate_postgres, open_postgres
from configkit.backends.sql.migrate import HEAD
from configkit.backends.sql.schema import metadata
from configkit.errors import BackendError, UnavailableError
from configkit.flags.model import Flag
from configkit.models import Origin
from tests.unit.backends.sql.postgres.conftest import Open, Work
from tests.waiting import eventually

ORIGIN = Origin("ann")


def test_the_migrations_make_what_the_tables_say(opened: Open, shared_url: str, schema: str) -> None:
    opened()
    engine = create_engine(shared_url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET search_path = {schema}")
        options = {"version_table": "schema_version", "include_name": lambda name, kind, parents: name != "journal_head"}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_everything_lies_in_a_schema_of_its_own(opened: Open, shared_url: str, schema: str) -> None:
    opened()
    with psycopg.connect(shared_url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]).fetchall()
        strays = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert {name for (name,) in found} >= {"schema_version", "journal", "journal_head", "flag", "instance", "intent", "token"}
    assert strays == []


def test_processes_that_race_at_first_start_make_the_tables_once(opened: Open, work: Work, look: psycopg.Connection[Any]) -> None:
    workers = [work("create", f"flag-{number}") for number in range(4)]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors
    found = opened().flags.load("staging")
    assert found is not None
    assert (sorted(found.flags), found.version) == ([f"flag-{number}" for number in range(4)], 4)
    assert look.execute("SELECT version_num FROM schema_version").fetchall() == [(HEAD,)]
    assert look.execute("SELECT count(*) FROM meta WHERE name = 'log_id'").fetchone() == (1,)


def test_migrating_again_changes_nothing(shared_url: str, schema: str, opened: Open) -> None:
    opened().flags.create(Flag("there", "staging"), origin=ORIGIN)
    assert migrate_postgres(shared_url, schema=schema) == HEAD
    assert opened(migrate=False).flags.read("staging", "there").version == 1


def test_a_library_makes_no_tables_and_goes_on_once_a_server_has(opened: Open, look: psycopg.Connection[Any], schema: str) -> None:
    library = opened(migrate=False, role="library")
    with pytest.raises(UnavailableError, match="no tables of configkit yet; start configkit serve, or run configkit migrate"):
        library.flags.load("staging")
    assert look.execute("SELECT to_regnamespace(%s)", [schema]).fetchone() == (None,)
    opened()
    assert library.flags.create(Flag("there", "staging"), origin=ORIGIN).version == 1


def test_a_server_works_with_tables_that_the_next_release_has_migrated(opened: Open, look: psycopg.Connection[Any]) -> None:
    server = opened()
    server.flags.create(Flag("before", "staging"), origin=ORIGIN)
    look.execute("UPDATE schema_version SET version_num = %s", [f"{int(HEAD) + 1:04}"])
    look.execute("ALTER TABLE flag ADD COLUMN owner text; ALTER TABLE journal ADD COLUMN reason text DEFAULT 'none'")
    look.execute("CREATE TABLE approval (id bigint PRIMARY KEY)")
    heard: list[object] = []
    for each in (server, opened()):
        each.bus.subscribe(heard.append)
        each.flags.update("staging", "before", {"is_enabled": True}, origin=ORIGIN)
        assert each.journal.entries(limit=1)[0].action == "update"
    eventually(lambda: len(heard) == 3)
    assert look.execute("SELECT version_num FROM schema_version").fetchone() == (f"{int(HEAD) + 1:04}",)


def test_a_server_of_the_next_release_that_does_not_migrate_works_with_these_tables(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened()
    monkeypatch.setattr("configkit.backends.sql.postgres.migrate.OLDEST", int(HEAD))
    monkeypatch.setattr("configkit.backends.sql.postgres.migrate.NEWEST", int(HEAD) + 2)
    assert opened(migrate=False).flags.create(Flag("there", "staging"), origin=ORIGIN).version == 1


@pytest.mark.parametrize(("revision", "remedy"), [("0009", "upgrade configkit"), ("0001", "run configkit migrate")])
def test_tables_of_another_release_are_refused_with_the_remedy(
    opened: Open, look: psycopg.Connection[Any], revision: str, remedy: str
) -> None:
    opened()
    look.execute("UPDATE schema_version SET version_num = %s", [revision])
    with pytest.raises(BackendError, match=remedy):
        opened(migrate=False)


def test_a_migration_that_fails_leaves_nothing_of_itself(
    opened: Open, look: psycopg.Connection[Any], schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("configkit.backends.sql.postgres.migrate.token_hex", lambda count: 1 / 0)  # after the tables
        with pytest.raises(ZeroDivisionError):
            opened()
    assert look.execute("SELECT to_regnamespace(%s)", [schema]).fetchone() == (None,)
    opened().ping()


def test_tables_that_are_gone_are_unavailable_and_made_anew_by_the_next_server(
    opened: Open, look: psycopg.Connection[Any], schema: str
) -> None:
    server, library = opened(), opened(migrate=False)
    library.flags.load("staging")
    look.execute(f"SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE")
    with pytest.raises(UnavailableError, match="lacks tables of configkit"):
        library.flags.load("staging")
    with pytest.raises(UnavailableError):
        server.flags.load("staging")
    server.ping()
    assert library.flags.create(Flag("there", "staging"), origin=ORIGIN).version == 1


def test_names_are_ordered_by_code_point_whatever_the_collation(look: psycopg.Connection[Any], opened: Open, schema: str) -> None:
    opened()
    found = look.execute(
        "SELECT DISTINCT collation_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = 'flag' AND column_name IN ('environment', 'name')",
        [schema],
    ).fetchall()
    assert found == [("C",)]


def test_nothing_of_the_embedded_mode_is_imported_for_postgres(shared_url: str, schema: str, tmp_path: Path) -> None:
    import subprocess
    import sys

    open_postgres(shared_url, migrate=True, role="server", schema=schema).close()
    program = (
        "import sys; from configkit.backends.sql import open_postgres; "
        f"open_postgres({shared_url!r}, migrate=False, role='library', schema={schema!r}).close(); "
        "print([name for name in ('cryptography', 'alembic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
