"""`configkit flag`: fields beyond the plain form, why a flag is what it is, and flags that have had their day."""

from __future__ import annotations

import json

from tests.cli.command import Command

RULES = [{"name": "germans", "conditions": [{"attribute": "country", "operator": "in", "values": ["DE"]}], "variant": "dark"}]


def theme(cli: Command) -> None:
    variants = json.dumps({"light": "#fff", "dark": "#000"})
    cli.ok(
        "flag", "create", "theme", "--enabled", "-f", f"variants={variants}", "-f", 'default_variant="light"',
        "-f", f"rules={json.dumps(RULES)}", "-f", 'owner="web"',
    )  # fmt: skip


def test_further_fields_are_given_as_json_and_shown(anywhere: Command) -> None:
    theme(anywhere)
    shown = anywhere.ok("flag", "show", "theme", "--json").json
    assert (shown["rules"], shown["owner"]) == (RULES, "web")
    lines = anywhere.ok("flag", "show", "theme").out.splitlines()
    assert "default_variant " + '"light"' in lines
    assert "owner           " + '"web"' in lines
    assert any("germans" in line for line in lines)
    assert "2 variants" in anywhere.ok("flag", "list").out
    changed = anywhere.ok("flag", "set", "theme", "-f", "rules=null", "--json").json
    assert "rules" not in changed
    anywhere.ok("flag", "create", "beta", "-f", 'kind="segment"', "--user", "u1")
    assert "segment" in anywhere.ok("flag", "list").out


def test_fields_that_are_no_json_and_attributes_without_a_value_are_refused(cli: Command) -> None:
    assert cli("flag", "create", "f", "-f", "salt=x").code == 2
    assert cli("flag", "create", "f", "-f", "salt").code == 2
    for own in ("name", "environment", "expected_version", "self"):
        assert cli("flag", "create", "f", "-f", f'{own}="x"').code == 2
    cli.ok("flag", "create", "f")
    assert cli("flag", "set", "f", "-f", "expected_version=1").code == 2
    assert (
        cli.ok("flag", "create", "g", "-f", "is_enabled=true", "-f", "rollout_percentage=100", "--json").json["is_enabled"] is True
    )
    assert cli("flag", "evaluate", "f", "-a", "country").code == 2
    assert cli("flag", "evaluate", "f", "--context", "[1]").code == 2


def test_evaluating_takes_a_context(anywhere: Command) -> None:
    theme(anywhere)
    assert anywhere.ok("flag", "evaluate", "theme").out.splitlines()[0] == "#fff"
    for context in (("-a", "country=DE"), ("--context", '{"country": "DE"}')):
        assert anywhere.ok("flag", "evaluate", "theme", *context).out.splitlines() == [
            "#000", "reason TARGETING_MATCH", "variant dark", "version 1", "rule germans",
        ]  # fmt: skip


def test_explaining_tells_the_steps(anywhere: Command) -> None:
    theme(anywhere)
    assert anywhere.ok("flag", "explain", "theme", "--user", "u1", "-a", "country=FR").out.splitlines() == [
        "yes  flag: theme is on",
        "no   rule: germans",
        "no      condition: country in 'DE'; it is 'FR'",
        "     rest: everybody else gets light",
        "     outcome: variant light: DEFAULT",
    ]
    found = anywhere.ok("flag", "explain", "theme", "-a", "country=DE", "--json").json
    assert (found["value"], found["explanation"][1]) == (
        "#000",
        {"step": "rule", "detail": "germans", "holds": True, "depth": 0},
    )
    assert anywhere("flag", "explain", "nobody").code == 3


def test_flags_that_have_had_their_day_are_listed(anywhere: Command) -> None:
    theme(anywhere)
    anywhere.ok("flag", "create", "old", "-f", 'expires_at="2020-01-01T00:00:00Z"', "-f", 'owner="web"')
    anywhere.ok("flag", "create", "rolled_out", "--enabled", "--percentage", "100")
    anywhere.ok("flag", "create", "half", "--enabled", "--percentage", "50")
    listed = anywhere.ok("flag", "stale", "--days", "0", "--json").json["items"]
    assert [(item["name"], item["reason"].split(" ")[0]) for item in listed] == [("old", "expired"), ("rolled_out", "on")]
    assert [item["name"] for item in anywhere.ok("flag", "stale", "--json").json["items"]] == ["old"]
    assert "expired on 2020-01-01" in anywhere.ok("flag", "stale").out


def test_schedules_and_ramps_are_told(cli: Command) -> None:
    schedule = {"starts_at": "2030-01-01T00:00:00+00:00", "ends_at": "2031-01-01T00:00:00+00:00"}
    said = cli.ok("flag", "create", "f", "--enabled", "--percentage", "100", "-f", f"schedule={json.dumps(schedule)}")
    assert "from 2030-01-01T00:00:00+00:00 until 2031-01-01T00:00:00+00:00" in said.out + said.err
    ramp = {"ramp": [{"at": "2026-01-01T00:00:00Z", "percentage": 50}], "ramp_kind": "steps"}
    said = cli.ok("flag", "create", "g", "--enabled", "-f", f"schedule={json.dumps(ramp)}")
    assert "its ramp" in said.out + said.err
    assert "ramp" in cli.ok("flag", "list").out
