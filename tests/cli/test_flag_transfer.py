"""`configkit flag export` and `import`: there and back, and from other systems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Command
from tests.unit.flags.imports.test_formats import FLAGD, LAUNCHDARKLY, UNLEASH


def file(folder: Path, content: Any, name: str = "flags.json") -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("source", "document", "more"),
    [("flagd", FLAGD, ()), ("unleash", UNLEASH, ("--source-environment", "production")), ("launchdarkly", LAUNCHDARKLY, ())],
)
def test_flags_of_others_are_shown_first_and_then_written(
    anywhere: Command, tmp_path: Path, source: str, document: Any, more: tuple[str, ...]
) -> None:
    command = ("flag", "import", "--from", source, file(tmp_path, document), "--reshuffle", *more)
    shown = anywhere.ok(*command, "--dry-run").out
    assert "to be written" in shown
    assert anywhere.ok("flag", "list", "--json").json["total"] == 0
    written = anywhere.ok(*command, "--json").json
    assert written["written"] == written["new"] == anywhere.ok("flag", "list", "--json").json["total"] > 0
    again = anywhere.ok(*command, "--json").json
    assert (again["written"], again["same"]) == (0, written["new"])


def test_what_has_no_equal_is_refused_unless_it_is_left_out(cli: Command, tmp_path: Path) -> None:
    good = {"state": "ENABLED", "variants": {"a": 1}, "defaultVariant": "a"}
    bad = {**good, "targeting": {"if": [{"missing": ["x"]}, "a"]}}
    document = file(tmp_path, {"flags": {"good": good, "bad": bad}})
    refused = cli("flag", "import", "--from", "flagd", document)
    assert refused.code == 2
    assert "/targeting/if/0/missing" in refused.out
    assert "--skip" in refused.out
    assert cli.ok("flag", "list", "--json").json["total"] == 0
    assert cli.ok("flag", "import", "--from", "flagd", document, "--skip", "--json").json["refused"][0]["name"] == "bad"
    assert [flag["name"] for flag in cli.ok("flag", "list", "--json").json["items"]] == ["good"]


def test_a_flag_that_is_there_and_different_is_changed_only_if_that_is_said(cli: Command, tmp_path: Path) -> None:
    cli.ok("flag", "create", "theme", "--description", "mine", "-f", 'variants={"a": "x"}', "-f", 'default_variant="a"')
    command = ("flag", "import", "--from", "flagd", file(tmp_path, FLAGD))
    assert "--replace" in cli("flag", "import", "--from", "flagd", file(tmp_path, FLAGD)).out
    assert cli.ok("flag", "show", "theme", "--json").json["version"] == 1
    assert cli.ok(*command, "--replace", "--json").json["items"][0]["fields"][0] == "description"
    assert cli.ok("flag", "evaluate", "theme", "-a", "app=3.0.0").out.startswith("#000")


def test_flags_go_out_and_come_back(cli: Command, tmp_path: Path) -> None:
    cli.ok("flag", "create", "beta", "-f", 'kind="segment"', "--user", "u1")
    rules = [{"conditions": [{"operator": "in_segment", "values": ["beta"]}], "variant": "on"}]
    cli.ok("flag", "create", "checkout", "--enabled", "--percentage", "12.5", "-f", f"rules={json.dumps(rules)}")
    target = tmp_path / "out.json"
    cli.ok("flag", "export", "--output", str(target))
    assert json.loads(cli.ok("flag", "export").out) == json.loads(target.read_text())
    cli.ok("-e", "staging", "flag", "import", "--from", "configkit", str(target))
    there, here = (cli.ok("-e", name, "flag", "export").json for name in ("staging", "development"))
    assert there["flags"] == here["flags"]
    assert [flag["name"] for flag in there["flags"]] == ["beta", "checkout"]


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("{", "f.json", "not JSON"),
        ('{"flags": {"a": 1, "a": 2}}', "f.json", "twice"),
        ("[" * 100_000, "f.json", "nested"),
        ("a: [", "f.yaml", "not YAML"),
        ("[]", "f.json", "object of flags"),
        ("{}", "f.yml", "object of flags"),
    ],
)
def test_a_file_that_is_none_is_refused(cli: Command, tmp_path: Path, content: str, name: str, said: str) -> None:
    refused = cli("flag", "import", "--from", "flagd", file(tmp_path, content, name))
    assert (refused.code, said in refused.err) == (2, True), refused.err


def test_yaml_and_the_standard_input_are_read(cli: Command, tmp_path: Path) -> None:
    yaml = "flags:\n  f:\n    state: ENABLED\n    variants: {a: 1, b: 2}\n    defaultVariant: b\n"
    cli.ok("flag", "import", "--from", "flagd", file(tmp_path, yaml, "flags.yaml"))
    assert cli.ok("flag", "evaluate", "f").out.startswith("2")
    assert cli("flag", "import", "--from", "flagd", file(tmp_path, FLAGD), "--source-environment", "x").code == 2
