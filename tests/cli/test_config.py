"""`configkit config`: reading and writing."""

import json
from pathlib import Path

import pytest

from tests.cli.command import Command

SECRET = "canary-5d1f"


def test_a_value_that_was_set_is_printed_bare(anywhere: Command) -> None:
    assert (
        anywhere.ok("config", "set", "model_path", "/models/asr").out == "development/asr-service/model_path: version 1 created\n"
    )
    assert anywhere.ok("config", "get", "model_path").out == "/models/asr\n"


def test_setting_again_writes_the_next_version_and_says_so(anywhere: Command) -> None:
    anywhere.ok("config", "set", "k", "one")
    assert anywhere.ok("config", "set", "k", "two").out == "development/asr-service/k: version 2 written\n"
    assert anywhere.ok("config", "get", "k").out == "two\n"
    assert anywhere.ok("config", "get", "k", "--version", "1").out == "one\n"


def test_options_of_where_are_taken_before_and_after_the_command(cli: Command) -> None:
    cli.ok("-e", "production", "config", "set", "k", "p")
    cli.ok("config", "set", "k", "other", "-s", "nmt-service", "-e", "production")
    assert cli.ok("config", "get", "k", "-e", "production").out == "p\n"
    assert cli.ok("config", "get", "k", "-e", "production", "--service", "nmt-service").out == "other\n"
    assert cli.ok("-e", "staging", "config", "list", "-e", "production", "--json").json["total"] == 1


def test_json_values_keep_their_type(anywhere: Command) -> None:
    anywhere.ok("config", "set", "limits", '{"a": [1, 2.5, null, true]}', "--json-value")
    assert json.loads(anywhere.ok("config", "get", "limits").out) == {"a": [1, 2.5, None, True]}
    assert anywhere.ok("config", "get", "limits", "--json").json["value"] == {"a": [1, 2.5, None, True]}


@pytest.mark.parametrize("bad", ['{"a":1,"a":2}', "NaN", "[1", "1e999", '"\\ud800"', "null", "[" * 100_000, "9" * 5000])
def test_what_is_not_json_is_refused_without_repeating_it(cli: Command, bad: str) -> None:
    done = cli("config", "set", "k", "-", "--json-value", stdin=bad)
    assert done.code == 2
    assert done.err.startswith("configkit: value: ")
    assert bad not in done.err.removeprefix("configkit: value: ") or bad in {"null", "NaN"}
    assert cli("config", "get", "k").code == 3


def test_the_standard_input_is_taken_without_its_closing_line_end(cli: Command) -> None:
    cli.ok("config", "set", "k", "-", stdin="two\nlines\n")
    assert cli.ok("config", "get", "k", "--json").json["value"] == "two\nlines"


def test_a_standard_input_that_is_not_text_is_refused(cli: Command) -> None:
    assert cli("config", "set", "k", "-", stdin=b"\xff\xfe").code == 2


def test_a_value_over_the_limit_is_refused(cli: Command) -> None:
    assert cli("config", "set", "k", "-", stdin="x" * (512 * 1024)).code == 2
    assert cli("config", "set", "k", "-", stdin="x" * (4 * 1024 * 1024)).code == 2


@pytest.mark.parametrize("arguments", [(), ("v", "--prompt"), ("--prompt",), ("********",)])
def test_a_value_must_be_given_once_and_must_not_be_the_mask(cli: Command, arguments: tuple[str, ...]) -> None:
    assert cli("config", "set", "k", *arguments).code == 2
    assert cli("config", "get", "k").code == 3


def test_secrets_are_hidden_in_every_output_until_they_are_asked_for(anywhere: Command) -> None:
    anywhere.ok("config", "set", "api_key", "--secret", "-", stdin=SECRET)
    anywhere.ok("config", "set", "plain", "shown")
    hidden = [
        ("get", "api_key"),
        ("get", "api_key", "--json"),
        ("get", "api_key", "--version", "1"),
        ("list",),
        ("list", "--json"),
        ("history", "api_key"),
        ("history", "api_key", "--json"),
        ("export",),
        ("export", "--format", "yaml"),
        ("export", "--format", "dotenv"),
        ("set", "api_key", "-", "--json"),
        ("rollback", "api_key", "1", "--json"),
    ]
    for arguments in hidden:
        done = anywhere("config", *arguments, stdin=f"{SECRET}2")
        assert done.code == (5 if arguments[0] == "get" and "--json" not in arguments else 0), arguments
        assert SECRET not in done.out + done.err, arguments
    for arguments in [*hidden[:2], *hidden[3:10]]:
        done = anywhere.ok("config", *arguments, "--reveal")
        assert SECRET in done.out, arguments


def test_a_hidden_secret_says_on_the_other_stream_how_to_see_it(cli: Command) -> None:
    cli.ok("config", "set", "api_key", "--secret", "-", stdin=SECRET)
    done = cli("config", "get", "api_key")
    assert (done.code, done.out) == (5, "")
    assert "--reveal" in done.err


def test_json_of_a_hidden_secret_is_null_and_marked(cli: Command) -> None:
    cli.ok("config", "set", "api_key", "--secret", "-", stdin=SECRET)
    document = cli.ok("config", "get", "api_key", "--json").json
    assert (document["value"], document["masked"], document["is_encrypted"]) == (None, True, True)
    document = cli.ok("config", "get", "api_key", "--json", "--reveal").json
    assert (document["value"], document["masked"]) == (SECRET, False)


def test_a_secret_stays_one_when_it_is_set_again(cli: Command) -> None:
    cli.ok("config", "set", "api_key", "--secret", "-", stdin=SECRET)
    cli.ok("config", "set", "api_key", "-", stdin=f"{SECRET}2")
    assert cli("config", "get", "api_key").code == 5
    cli.ok("config", "set", "api_key", "harmless", "--no-secret")
    assert cli("config", "get", "api_key", "--version", "1").code == 5


def test_a_secret_on_the_command_line_is_warned_of_and_a_piped_one_is_not(cli: Command) -> None:
    assert "--prompt" in cli.ok("config", "set", "a", "v", "--secret").err
    assert cli.ok("config", "set", "b", "--secret", "-", stdin="v").err == ""


def test_reading_secrets_in_the_clear_is_journalled(cli: Command, tmp_path: Path) -> None:
    from configkit.backends.sql import open_sqlite
    from tests.cli.command import database_url

    cli.ok("config", "set", "api_key", "--secret", "-", stdin=SECRET)
    cli.ok("config", "set", "plain", "v")
    cli("config", "get", "api_key")
    cli.ok("config", "list", "--reveal")
    backends = open_sqlite(database_url(tmp_path), master_key=None)
    try:
        assert backends.journal is not None
        entries = backends.journal.entries(limit=10)
    finally:
        backends.close()
    reads = [(entry.subject, entry.origin.changed_by.partition(":")[0]) for entry in entries if entry.action == "read"]
    assert reads == [("development/asr-service/api_key", "cli")]


def test_a_compare_and_set_that_does_not_match_is_a_conflict_and_writes_nothing(anywhere: Command) -> None:
    anywhere.ok("config", "set", "k", "one", "--expected-version", "0")
    assert anywhere("config", "set", "k", "x", "--expected-version", "0").code == 4
    assert anywhere("config", "set", "k", "x", "--expected-version", "7").code == 4
    assert anywhere("config", "delete", "k", "--expected-version", "7").code == 4
    assert anywhere.ok("config", "get", "k").out == "one\n"
    anywhere.ok("config", "set", "k", "two", "--expected-version", "1")
    assert anywhere("config", "set", "absent", "x", "--expected-version", "1").code == 3


def test_a_conflict_tells_machines_the_version_that_is_there(anywhere: Command) -> None:
    anywhere.ok("config", "set", "k", "one")
    done = anywhere("config", "set", "k", "x", "--expected-version", "7", "--json")
    told = json.loads(done.err)
    assert (told["error"], told["expected"], told["actual"]) == ("conflict", 7, 1)


def test_history_shows_the_versions_newest_first_and_rollback_revives(anywhere: Command) -> None:
    anywhere.ok("config", "set", "k", "one", "--comment", "the first")
    anywhere.ok("config", "set", "k", "two")
    assert anywhere.ok("config", "delete", "k").out == "development/asr-service/k: version 2 deleted\n"
    assert anywhere("config", "get", "k").code == 3
    assert anywhere.ok("config", "rollback", "k", "1").out.startswith("development/asr-service/k: version 3 written")
    assert anywhere.ok("config", "get", "k").out == "one\n"
    items = anywhere.ok("config", "history", "k", "--json").json["items"]
    assert [(item["version"], item["value"], item["deleted"]) for item in items] == [
        (3, "one", False),
        (2, None, True),
        (1, "one", False),
    ]
    table = anywhere.ok("config", "history", "k").out
    assert "(deleted)" in table
    assert "the first" in table


@pytest.mark.parametrize(
    "arguments",
    [("get", "k"), ("delete", "k"), ("history", "k"), ("rollback", "k", "1")],
)
def test_what_is_not_there_is_exit_code_3(anywhere: Command, arguments: tuple[str, ...]) -> None:
    done = anywhere("config", *arguments)
    assert done.code == 3
    assert "development/asr-service/k" in done.err
    assert done.out == ""


@pytest.mark.parametrize("key", ["../x", "a..b", "-x", "a b", "", "é", "a" * 300])
def test_what_is_no_key_is_exit_code_2(cli: Command, key: str) -> None:
    assert cli("config", "get", "--", key).code == 2


def test_an_environment_that_does_not_exist_is_exit_code_2(cli: Command) -> None:
    done = cli("config", "get", "k", "-e", "produktion")
    assert done.code == 2
    assert "production" in done.err


def test_a_command_that_needs_a_service_says_so(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIGKIT_SERVICE_NAME")
    done = cli("config", "get", "k")
    assert done.code == 2
    assert "--service" in done.err
    cli.ok("config", "set", "k", "v", "-s", "_shared")
    assert cli.ok("config", "list", "--json").json["items"][0]["service_name"] == "_shared"


def test_resolve_reads_the_shared_value_where_the_service_has_none(anywhere: Command) -> None:
    anywhere.ok("config", "set", "k", "shared", "-s", "_shared")
    assert anywhere("config", "get", "k").code == 3
    assert anywhere.ok("config", "get", "k", "--resolve").out == "shared\n"
    anywhere.ok("config", "set", "k", "own")
    assert anywhere.ok("config", "get", "k", "--resolve").out == "own\n"


def test_lists_are_whole_unless_a_part_is_asked_for(anywhere: Command) -> None:
    for number in range(7):
        anywhere.ok("config", "set", f"k{number}", str(number))
    everything = anywhere.ok("config", "list", "--json").json
    assert [item["key"] for item in everything["items"]] == [f"k{number}" for number in range(7)]
    part = anywhere.ok("config", "list", "--json", "--limit", "2", "--offset", "3").json
    assert ([item["key"] for item in part["items"]], part["total"]) == (["k3", "k4"], 7)
    assert "2 of 7" in anywhere.ok("config", "list", "--limit", "2").err


def test_a_list_longer_than_a_page_is_whole(cli: Command, tmp_path: Path) -> None:
    values = {f"k{number:04}": number for number in range(1203)}
    (tmp_path / "many.json").write_text(json.dumps(values))
    cli.ok("config", "import", str(tmp_path / "many.json"))
    listed = cli.ok("config", "list", "--json").json
    assert {item["key"]: item["value"] for item in listed["items"]} == values
    assert listed["total"] == 1203


def test_values_cannot_steer_the_terminal_through_a_table(cli: Command) -> None:
    cli.ok("config", "set", "k", "-", stdin="\x1b[31mred\x1b[0m\nsecond [bold]line")
    out = cli.ok("config", "list").out
    assert "\x1b" not in out
    assert "\\x1b[31mred\\x1b[0m\\nsecond [bold]line" in out


def test_what_is_typed_wrongly_for_set_is_not_repeated(cli: Command) -> None:
    for arguments in [("k", f"--{SECRET}"), ("k", "v", SECRET)]:
        done = cli("config", "set", *arguments)
        assert done.code == 2
        assert SECRET not in done.err
    cli.ok("config", "set", "k", "--", f"--{SECRET}")
    assert cli.ok("config", "get", "k").out == f"--{SECRET}\n"


def test_tables_cut_what_is_long_and_nothing_else_does(anywhere: Command) -> None:
    text = "0123456789" * 20
    anywhere.ok("config", "set", "long", f"x{text}")
    for command in (("list",), ("history", "long")):
        table = anywhere.ok("config", *command).out
        assert f"x{text[:58]}…" in table
        assert f"x{text[:59]}" not in table
        assert text in anywhere.ok("config", *command, "--json").out
    assert anywhere.ok("config", "get", "long").out == f"x{text}\n"


@pytest.mark.parametrize("text", ["8", "true", "null", '"x"', '{"a": 1}', "[]", " padded", ""])
def test_tables_quote_text_that_would_read_as_something_else(cli: Command, text: str) -> None:
    cli.ok("config", "set", "k", "--", text)
    for command in (("list",), ("history", "k")):
        assert f"  {json.dumps(text)}  " in cli.ok("config", *command).out
    assert cli.ok("config", "get", "k").out == f"{text}\n"


def test_a_number_and_its_text_differ_in_tables(cli: Command) -> None:
    cli.ok("config", "set", "k", "8")
    cli.ok("config", "set", "k", "8", "--json-value")
    assert [line.split()[1] for line in cli.ok("config", "history", "k").out.splitlines()] == ["VALUE", "8", '"8"']


def test_an_environment_that_was_not_meant_says_which_one_counts_otherwise(cli: Command) -> None:
    done = cli("config", "list", "-e", "produktion")
    assert done.code == 2
    for word in ("development", "CONFIGKIT_ENVIRONMENT", "-e NAME"):
        assert word in done.err


def test_a_deleted_version_is_gone_and_an_earlier_one_comes_back(cli: Command) -> None:
    cli.ok("config", "set", "k", "one")
    cli.ok("config", "set", "k", "two")
    cli.ok("config", "delete", "k")
    assert cli("config", "get", "k", "--version", "2").code == 3
    assert cli("config", "rollback", "k", "2").code == 3
    assert cli.ok("config", "rollback", "k", "1", "--json").json["version"] == 3
    assert cli.ok("config", "get", "k").out == "one\n"
