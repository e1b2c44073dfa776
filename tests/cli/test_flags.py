"""`configkit flag`."""

import pytest

from configkit import testing
from tests.cli.command import Command


def test_a_flag_is_created_listed_changed_and_deleted(anywhere: Command) -> None:
    anywhere.ok(
        "flag", "create", "new_ui", "--enabled", "--percentage", "25", "--user", "u1", "--user", "u2", "--description", "New look"
    )
    (flag,) = anywhere.ok("flag", "list", "--json").json["items"]
    assert (flag["is_enabled"], flag["rollout_percentage"], flag["target_users"]) == (True, 25.0, ["u1", "u2"])
    assert "25 %" in anywhere.ok("flag", "list").out
    changed = anywhere.ok("flag", "set", "new_ui", "--disabled", "--no-users", "--json").json
    assert (changed["is_enabled"], changed["target_users"], changed["rollout_percentage"]) == (False, [], 25.0)
    assert changed["description"] == "New look"
    anywhere.ok("flag", "delete", "new_ui")
    assert anywhere.ok("flag", "list", "--json").json == {"items": [], "total": 0}


def test_flags_belong_to_their_environment(cli: Command) -> None:
    cli.ok("flag", "create", "f", "-e", "production")
    assert cli.ok("flag", "list", "--json").json["total"] == 0
    assert cli.ok("flag", "list", "--json", "-e", "production").json["total"] == 1


def test_evaluating_says_the_value_the_reason_and_the_version(anywhere: Command) -> None:
    anywhere.ok("flag", "create", "f", "--enabled", "--percentage", "50", "--user", "vip")
    assert anywhere.ok("flag", "evaluate", "f", "--user", "vip").out.splitlines() == [
        "true",
        "reason TARGETING_MATCH",
        "variant on",
        "version 1",
    ]


def test_evaluating_decides_as_the_library_does(anywhere: Command) -> None:
    anywhere.ok("flag", "create", "f", "--enabled", "--percentage", "50")
    with testing.memory(flags={"f": {"is_enabled": True, "rollout_percentage": 50}}) as kit:
        for user in ("u1", "u2", "u3"):
            found = anywhere.ok("flag", "evaluate", "f", "--user", user, "--json").json
            assert found["value"] == kit.flags.is_enabled("f", user_id=user)
            assert (found["reason"], found["version"]) == ("SPLIT", 1)


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("absent", "--user", "u"), 3, "FLAG_NOT_FOUND"),
        (("half",), 2, "TARGETING_KEY_MISSING"),
        (("half", "--user", "u" * 2000), 2, "INVALID_CONTEXT"),
    ],
)
def test_an_evaluation_that_cannot_be_made_tells_why_in_its_exit_code(
    cli: Command, arguments: tuple[str, ...], code: int, error: str
) -> None:
    cli.ok("flag", "create", "half", "--enabled", "--percentage", "50")
    done = cli("flag", "evaluate", *arguments, "--json")
    assert (done.code, done.json["error_code"], done.json["value"]) == (code, error, False)


def test_a_flag_that_is_there_or_not_or_changed_meanwhile_is_told_apart(anywhere: Command) -> None:
    anywhere.ok("flag", "create", "f")
    assert anywhere("flag", "create", "f").code == 4
    assert anywhere("flag", "set", "f", "--enabled", "--expected-version", "9").code == 4
    assert anywhere("flag", "delete", "f", "--expected-version", "9").code == 4
    assert anywhere("flag", "set", "g", "--enabled").code == 3
    assert anywhere("flag", "delete", "g").code == 3
    assert anywhere.ok("flag", "set", "f", "--enabled", "--expected-version", "1", "--json").json["version"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "f", "--percentage", "100.5"),
        ("create", "f", "--percentage", "0.0001"),
        ("create", "f", "--percentage", "nan"),
        ("create", "f", "--percentage", "many"),
        ("create", "a b"),
        ("create", "f", "--user", ""),
        ("set", "f"),
        ("set", "f", "--user", "u", "--no-users"),
    ],
)
def test_what_is_not_allowed_is_exit_code_2_and_changes_nothing(cli: Command, arguments: tuple[str, ...]) -> None:
    assert cli("flag", *arguments).code == 2
    assert cli.ok("flag", "list", "--json").json["total"] == 0


def test_a_flag_is_shown_turned_on_and_off(anywhere: Command) -> None:
    anywhere.ok("flag", "create", "new_ui", "--user", "u1", "--description", "The new interface")
    assert "off for everybody" in anywhere.ok("flag", "show", "new_ui").out
    assert "on for 25 % of the users and 1 named user" in anywhere.ok("flag", "enable", "new_ui", "--percentage", "25").out
    assert anywhere.ok("flag", "get", "new_ui", "--json").json["rollout_percentage"] == 25
    shown = anywhere.ok("flag", "show", "new_ui").out
    for fact in ("development/new_ui", "25 %", "u1", "The new interface"):
        assert fact in shown
    anywhere.ok("flag", "disable", "new_ui")
    off = anywhere.ok("flag", "show", "new_ui", "--json").json
    assert (off["is_enabled"], off["rollout_percentage"], off["target_users"]) == (False, 25, ["u1"])
    assert anywhere.ok("flag", "enable", "new_ui", "--json").json["rollout_percentage"] == 25


def test_a_flag_that_is_on_for_nobody_says_so(cli: Command) -> None:
    assert "for nobody" in cli.ok("flag", "create", "new_ui", "--enabled").out


def test_a_flag_that_is_not_there_is_exit_code_3(anywhere: Command) -> None:
    for command in ("show", "get", "enable", "disable"):
        assert anywhere("flag", command, "nothing").code == 3
