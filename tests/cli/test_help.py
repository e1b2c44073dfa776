"""What the help says."""

import pytest

from tests.cli.command import Command


@pytest.mark.parametrize("command", [(), ("config", "list"), ("flag", "create"), ("serve",), ("token",), ("demo",)])
def test_an_option_without_a_value_shows_no_type(cli: Command, command: tuple[str, ...]) -> None:
    shown = cli.ok(*command, "--help").out
    assert "--help" in shown
    assert "bool" not in shown.lower()


@pytest.mark.parametrize(
    "command", [("token", "create"), ("token", "list"), ("token", "revoke"), ("journal",), ("rotate-key",), ("serve",)]
)
def test_what_runs_where_the_database_is_offers_no_server(cli: Command, command: tuple[str, ...]) -> None:
    assert "--url" not in cli.ok(*command, "--help").out


def test_the_help_of_delete_says_what_is_gone(cli: Command) -> None:
    shown = " ".join(cli.ok("config", "delete", "--help").out.split())
    assert "can neither be read nor rolled back to" in shown
    assert "earlier version" in shown


def test_the_help_says_which_environment_is_meant_unless_one_is_named(cli: Command) -> None:
    assert "development unless set" in cli.ok("config", "list", "--help").out
