"""`configkit journal`."""

from tests.cli.command import Command

SECRET = "a-secret-of-the-journal"


def test_the_journal_says_who_did_what_newest_first_and_never_a_value(cli: Command) -> None:
    cli.ok("config", "set", "api_key", "--secret", "-", stdin=SECRET)
    cli.ok("config", "get", "api_key", "--reveal")
    cli.ok("flag", "create", "new_ui")
    items = cli.ok("journal", "--json").json["items"]
    assert [(item["kind"], item["action"], item["subject"]) for item in items] == [
        ("flag", "create", "development/new_ui"),
        ("config", "read", "development/asr-service/api_key"),
        ("config", "create", "development/asr-service/api_key"),
    ]
    for item in items:
        assert item["at"].endswith("Z")
        assert item["changed_by"].startswith("cli:")
        assert item["source"].startswith("cli ")
    table = cli.ok("journal")
    assert [line.split()[4] for line in table.out.splitlines()[1:]] == ["flag", "config", "config"]
    assert SECRET not in table.out
    assert len(cli.ok("journal", "--limit", "1").out.splitlines()) == 2


def test_an_empty_journal_says_so_on_the_other_stream(cli: Command) -> None:
    done = cli.ok("journal", "--mode", "memory")
    assert (done.out, done.err) == ("", "nothing was done yet\n")


def test_the_journal_is_read_where_the_database_is(cli: Command, server: str) -> None:
    done = cli("--url", server, "journal")
    assert (done.code, done.out) == (2, "")
    assert "without --url" in done.err
