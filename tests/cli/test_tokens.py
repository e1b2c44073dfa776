"""`configkit token`."""

from pathlib import Path

import pytest

from configkit.backends.sql import open_sqlite
from configkit.tokens import digest
from tests.cli.command import Command, Done, database_url
from tests.waiting import eventually


def test_a_token_is_printed_once_and_kept_as_its_hash(cli: Command, tmp_path: Path) -> None:
    done = cli.ok(
        "token", "create", "ci", "--scope", "config:read", "--scope", "flags:read", "-e", "production", "--service", "asr-service"
    )
    secret = done.out.strip()
    assert secret.startswith("ck_")
    assert secret not in done.err
    listed = cli.ok("token", "list")
    assert secret not in listed.out
    assert digest(secret) not in listed.out + cli.ok("token", "list", "--json").out
    backends = open_sqlite(database_url(tmp_path), master_key=None)
    try:
        assert backends.tokens is not None
        (token,) = backends.tokens.all()
    finally:
        backends.close()
    assert token.digest == digest(secret)
    assert token.scopes == {"config:read", "flags:read"}
    assert token.environments == frozenset({"production"})
    assert token.services == frozenset({"asr-service"})


def test_a_token_opens_the_server_as_far_as_its_scope_until_it_is_revoked(
    cli: Command, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("config", "set", "k", "v")
    cli.ok("config", "set", "s", "--secret", "-", stdin="hidden")
    secret = cli.ok("token", "create", "ci", "--scope", "config:read", "--json").json["token"]
    said = eventually(lambda: refused(cli("config", "get", "k", "--url", server)))
    monkeypatch.setenv("CONFIGKIT_TOKEN", secret)
    assert cli.ok("config", "get", "k", "--url", server).out == "v\n"
    written = cli("config", "set", "k", "w", "--url", server)
    assert written.code == 5
    revealed = cli("config", "get", "s", "--reveal", "--url", server)
    assert (revealed.code, revealed.out) == (5, "")
    hidden = cli("config", "get", "s", "--url", server)
    assert (hidden.code, hidden.out) == (5, "")
    assert cli("config", "export", "--reveal", "--url", server).code == 5
    assert secret not in said + written.err + revealed.err
    monkeypatch.delenv("CONFIGKIT_TOKEN")
    cli.ok("token", "revoke", "ci")
    cli.ok("token", "create", "other", "--scope", "admin")
    eventually(lambda: refused(cli("--token", secret, "config", "get", "k", "--url", server)))


def refused(done: Done) -> str:
    return done.err if done.code == 5 else ""


def test_tokens_are_managed_where_the_database_is_only(cli: Command, server: str) -> None:
    for arguments in [("list",), ("create", "x", "--scope", "admin"), ("revoke", "x")]:
        done = cli("--url", server, "token", *arguments)
        assert done.code == 2
        assert "without --url" in done.err


def test_the_first_token_and_the_end_of_the_last_say_what_the_rule_is(cli: Command) -> None:
    assert "every request to a server needs a token" in cli.ok("token", "create", "one", "--scope", "admin").err
    assert "every request" not in cli.ok("token", "create", "two", "--scope", "admin").err
    assert cli.ok("token", "revoke", "one").err == ""
    assert "own machine only" in cli.ok("token", "revoke", "two").err


def test_json_of_a_new_token_has_its_time(cli: Command) -> None:
    made = cli.ok("token", "create", "ci", "--scope", "admin", "--json").json
    (listed,) = cli.ok("token", "list", "--json").json["items"]
    assert made["created_at"] == listed["created_at"] is not None


def test_names_are_taken_once_and_revoked_once(cli: Command) -> None:
    cli.ok("token", "create", "ci", "--scope", "admin")
    assert cli("token", "create", "ci", "--scope", "admin").code == 4
    cli.ok("token", "revoke", "ci")
    assert cli("token", "revoke", "ci").code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("ci",),
        ("ci", "--scope", "config:everything"),
        ("a b", "--scope", "admin"),
        ("ci", "--scope", "admin", "--environment", "produktion"),
        ("ci", "--scope", "admin", "--service", "Not A Service"),
    ],
)
def test_a_token_that_is_not_allowed_is_exit_code_2_and_not_made(cli: Command, arguments: tuple[str, ...]) -> None:
    done = cli("token", "create", *arguments)
    assert (done.code, done.out) == (2, "")
    assert cli.ok("token", "list", "--json").json["total"] == 0
