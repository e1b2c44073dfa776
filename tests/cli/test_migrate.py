"""`configkit migrate`."""

import pytest

from tests import services
from tests.cli.command import Command


def test_the_tables_are_made_and_making_them_again_changes_nothing(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIGKIT_DATABASE_URL")
    monkeypatch.setenv("DATABASE_URL", services.need("postgres")["DATABASE_URL"])
    first = cli.ok("migrate", "--json").json
    assert first["schema"].isdecimal()
    assert cli.ok("migrate").out == f"the tables are up to date (schema {first['schema']})\n"


def test_a_refused_password_is_denied_and_not_shown(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    url = services.need("postgres")["DATABASE_URL"]
    account, _, where = url.rpartition("@")
    monkeypatch.setenv("CONFIGKIT_DATABASE_URL", f"{account.rpartition(':')[0]}:canary-77@{where}")
    done = cli("migrate")
    assert done.code == 5
    assert "check DATABASE_URL" in done.err
    assert "canary" not in done.out + done.err


def test_the_embedded_file_needs_no_migration(cli: Command) -> None:
    done = cli("migrate")
    assert done.code == 2
    assert "whenever it is opened" in done.err
