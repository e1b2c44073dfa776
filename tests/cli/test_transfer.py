"""`configkit config export` and `import`."""

import json
import stat
from pathlib import Path

import pytest

from tests.cli.command import Command

SECRET = "canary-77aa"


@pytest.mark.parametrize("form", ["json", "yaml", "dotenv"])
def test_what_was_exported_is_imported_elsewhere_with_its_secrets_secret(anywhere: Command, tmp_path: Path, form: str) -> None:
    file = tmp_path / "copy"
    anywhere.ok("config", "set", "model.path", 'it\'s "x"\nand # more')
    anywhere.ok("config", "set", "api_key", "--secret", "-", stdin=SECRET)
    anywhere.ok("config", "export", "--reveal", "--format", form, "-o", str(file))
    done = anywhere.ok("config", "import", str(file), "--format", form, "-s", "copy")
    assert SECRET not in done.out + done.err
    items = anywhere.ok("config", "list", "-s", "copy", "--reveal", "--json").json["items"]
    assert [(item["key"], item["value"], item["is_encrypted"]) for item in items] == [
        ("api_key", SECRET, True),
        ("model.path", 'it\'s "x"\nand # more', False),
    ]


def test_an_export_leaves_secrets_out_and_says_how_many(anywhere: Command) -> None:
    anywhere.ok("config", "set", "plain", "v")
    for key in ("a", "b"):
        anywhere.ok("config", "set", key, "--secret", "-", stdin=SECRET)
    done = anywhere.ok("config", "export")
    assert json.loads(done.out) == {"plain": "v"}
    assert done.err.startswith("2 secrets left out")


def test_an_exported_file_is_its_owners_alone_and_replaced_whole(cli: Command, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    file.write_text("old")
    file.chmod(0o644)
    cli.ok("config", "set", "k", "v")
    cli.ok("config", "export", "-o", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {"k": "v"}
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_a_file_that_cannot_be_written_is_named(cli: Command, tmp_path: Path) -> None:
    done = cli("config", "export", "-o", str(tmp_path / "absent" / "out.json"))
    assert done.code == 2
    assert "absent" in done.err


def test_an_import_shows_what_is_new_changed_and_the_same(anywhere: Command, tmp_path: Path) -> None:
    anywhere.ok("config", "set", "same", "1")
    anywhere.ok("config", "set", "changed", "before")
    file = tmp_path / "in.json"
    file.write_text(json.dumps({"same": "1", "changed": "after", "new": [1]}))
    dry = anywhere.ok("config", "import", str(file), "--dry-run")
    assert "to be written: 1 new key and 1 changed key; 1 the same" in dry.out
    lines = [line.split() for line in dry.out.splitlines()]
    assert ["changed", "changed", "before", "after"] in lines
    assert ["new", "new", "-", "[1]"] in lines
    assert anywhere("config", "get", "new").code == 3
    done = anywhere.ok("config", "import", str(file), "--json").json
    assert (done["new"], done["changed"], done["same"], done["dry_run"]) == (1, 1, 1, False)
    assert {item["key"]: item["version"] for item in done["items"]} == {"same": 1, "changed": 2, "new": 1}
    again = anywhere.ok("config", "import", str(file), "--json").json
    assert (again["new"], again["changed"], again["same"]) == (0, 0, 3)


def test_secrets_are_marked_by_name_or_all_and_stay_marked(cli: Command, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"A={SECRET}\nB={SECRET}\n")
    shown = cli.ok("config", "import", str(file), "--secret", "A")
    assert "********" in shown.out
    assert shown.out.count(SECRET) == 1
    items = cli.ok("config", "list", "--json").json["items"]
    assert [item["is_encrypted"] for item in items] == [True, False]
    hidden = cli.ok("config", "import", str(file), "--secrets", "all")
    assert SECRET not in hidden.out + hidden.err
    file.write_text("A=other\n")
    cli.ok("config", "import", str(file))
    items = cli.ok("config", "list", "--json").json["items"]
    assert [item["is_encrypted"] for item in items] == [True, True]


def test_a_prefix_goes_before_each_key(cli: Command) -> None:
    cli.ok("config", "import", "-", "--format", "yaml", "--prefix", "asr.", "--secret", "b", stdin="a: 1\nb: two\n")
    items = cli.ok("config", "list", "--json", "--reveal").json["items"]
    assert [(item["key"], item["value"], item["is_encrypted"]) for item in items] == [("asr.a", 1, False), ("asr.b", "two", True)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("in.env", f"good={SECRET}\nbad..key={SECRET}\n", "line 2: bad..key"),
        ("in.yaml", f"good: {SECRET}\nmask: '********'\n", "line 2: mask: this is the mask"),
        ("in.yaml", f"good: {SECRET}\nnothing:\n", "line 2: nothing: null is no value"),
        ("in.yaml", f"good: {SECRET}\nwhen: 2024-01-02\n", "line 2: when"),
        ("in.yaml", f"good: {SECRET}\nnumber: .nan\n", "line 2: number: NaN"),
        ("in.json", json.dumps({"good": SECRET, "-bad": SECRET}), "-bad: 1-255 of"),
        ("in.json", json.dumps({"good": SECRET, "big": SECRET * 60_000}), "big: larger than 512 KiB"),
    ],
)
def test_one_wrong_key_refuses_the_whole_import_and_is_named(cli: Command, tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    done = cli("config", "import", str(tmp_path / name))
    assert done.code == 2
    assert said in done.err
    assert SECRET not in done.out + done.err
    assert cli.ok("config", "list", "--json").json["total"] == 0


def test_every_wrong_key_is_named_at_once(cli: Command) -> None:
    done = cli("config", "import", "-", "--format", "dotenv", stdin="a..b=1\nok=1\nc..d=2\n")
    assert done.code == 2
    assert "a..b" in done.err
    assert "c..d" in done.err


@pytest.mark.parametrize("arguments", [("--secret", "gone"), ("--secrets", "some")])
def test_marks_that_mean_nothing_refuse_the_import(cli: Command, arguments: tuple[str, ...]) -> None:
    assert cli("config", "import", "-", "--format", "dotenv", *arguments, stdin="a=1\n").code == 2
    assert cli.ok("config", "list", "--json").json["total"] == 0


def test_files_that_cannot_be_read_are_refused(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b'{"a": "\xff"}')
    assert cli("config", "import", str(tmp_path / "bad.json")).code == 2
    assert cli("config", "import", str(tmp_path / "absent.json")).code == 2
    assert cli("config", "import", str(tmp_path)).code == 2
    assert cli("config", "import", "-", stdin="{}").code == 2


def test_a_dotenv_number_that_is_there_as_json_is_the_same(cli: Command) -> None:
    cli.ok("config", "set", "n", "5", "--json-value")
    exported = cli.ok("config", "export", "--format", "dotenv")
    assert "written as JSON text (1 value)" in exported.err
    assert cli.ok("config", "import", "-", "--format", "dotenv", "--json", stdin=exported.out).json["same"] == 1
    assert cli.ok("config", "get", "n", "--json").json["value"] == 5
