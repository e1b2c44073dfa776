"""A deployment in an embedded file moves to the real servers with one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from configkit import tokens
from configkit.backends.sql import open_sqlite
from configkit.flags.model import Flag
from configkit.models import ConfigPath, Origin
from configkit.ports import Backends, Token
from tests import services
from tests.cli.command import Command
from tests.directs import direct_server, fresh_direct
from tests.vaults import ask

PATH = ConfigPath("development", "asr-service", "model_path")
SECRET = ConfigPath("production", "asr-service", "api_key")
CEASED = ConfigPath("staging", "_shared", "was_secret")
GONE = ConfigPath("development", "asr-service", "gone")
CANARY = "canary-of-the-move"


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Variables of a new deployment on the real servers, in the environment."""
    with fresh_direct() as variables:
        monkeypatch.delenv("CONFIGKIT_DATABASE_URL", raising=False)
        monkeypatch.delenv("CONFIGKIT_SERVICE_NAME", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield variables


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An embedded file with some of everything."""
    path = tmp_path / "old.db"
    with closing(open_sqlite(str(path), master_key=None)) as old:
        ann, bob = Origin("ann"), Origin("bob")
        old.config.create(PATH, "/models/asr", is_encrypted=False, origin=ann, comment="the first")
        old.config.update(PATH, {"path": "/models/asr-2"}, origin=bob, comment="a better one")
        old.config.create(SECRET, CANARY, is_encrypted=True, origin=ann)
        old.config.create(CEASED, f"{CANARY}-2", is_encrypted=True, origin=ann)
        old.config.update(CEASED, "open now", is_encrypted=False, origin=ann)
        old.config.create(GONE, 1, is_encrypted=False, origin=ann)
        old.config.delete(GONE, origin=ann)
        old.flags.create(Flag("new_ui", "development", is_enabled=True, rollout_percentage=25.0, target_users=("u1",)), origin=ann)
        old.flags.create(Flag("old_ui", "production", description="x"), origin=ann)
        assert old.tokens is not None
        old.tokens.create(Token("deployer", tokens.digest("ck_x"), frozenset({"config:read"}), frozenset({"staging"})), origin=ann)
    return path


@contextmanager
def there(variables: dict[str, str]) -> Iterator[Backends]:
    with closing(direct_server(variables)) as backends:
        yield backends


def items(cli: Command, *arguments: str) -> dict[str, str]:
    found: list[dict[str, Any]] = cli.ok("move", *arguments, "--json").json["items"]
    return {f"{item['kind']} {item['name']}": item["there"] for item in found}


EVERYTHING = [
    f"config {PATH}", f"config {SECRET}", f"config {CEASED}", "flag development/new_ui", "flag production/old_ui", "token deployer",
]  # fmt: skip


def test_without_write_it_only_shows_what_it_would_do(cli: Command, deployment: dict[str, str], file: Path) -> None:
    assert items(cli, str(file)) == dict.fromkeys(EVERYTHING, "new")
    shown = cli.ok("move", str(file))
    assert "6 items to move" in shown.err
    assert CANARY not in shown.out + shown.err
    with there(deployment) as target:
        assert target.tokens is not None
        assert (target.tokens.all(), target.flags.list(limit=10).total) == ([], 0)
    answer = ask(
        deployment["VAULT_ADDR"], "LIST", f"{deployment['VAULT_MOUNT_POINT']}/metadata/", token=services.vault_root_token()
    )
    assert answer.status == 404


def test_everything_moves_with_its_history_and_marks_and_a_second_move_changes_nothing(
    cli: Command, deployment: dict[str, str], file: Path
) -> None:
    done = cli.ok("move", str(file), "--write")
    assert "6 items moved" in done.err
    with there(deployment) as target:
        moved = target.config.history(PATH, limit=10).items
        assert [(v.version, v.value, v.changed_by, v.comment) for v in moved] == [
            (2, {"path": "/models/asr-2"}, "bob", "a better one"),
            (1, "/models/asr", "ann", "the first"),
        ]
        secret = target.config.read(SECRET)
        assert (secret.value, secret.is_encrypted, secret.version) == (CANARY, True, 1)
        ceased = target.config.read(CEASED)
        assert (ceased.value, ceased.is_encrypted, ceased.ever_secret, ceased.version) == ("open now", False, True, 2)
        assert target.config.list(_all(), limit=10).total == 3
        flag = target.flags.read("development", "new_ui")
        assert (flag.is_enabled, flag.rollout_percentage, flag.target_users) == (True, 25.0, ("u1",))
        assert target.tokens is not None
        [token] = target.tokens.all()
        assert (token.digest, token.environments) == (tokens.digest("ck_x"), frozenset({"staging"}))
    assert items(cli, str(file)) == dict.fromkeys(EVERYTHING, "same")
    assert "0 items moved, 6 were there already" in cli.ok("move", str(file), "--write").err
    with there(deployment) as target:
        assert target.config.read(PATH).version == 2


def test_an_interrupted_move_goes_on_where_it_ended(cli: Command, deployment: dict[str, str], file: Path) -> None:
    with there(deployment) as target:
        target.config.create(PATH, "/models/asr", is_encrypted=False, origin=Origin("ann"), comment="the first")
    assert items(cli, str(file))[f"config {PATH}"] == "continued"
    cli.ok("move", str(file), "--write")
    with there(deployment) as target:
        assert [v.version for v in target.config.history(PATH, limit=10).items] == [2, 1]


def test_what_is_there_and_differs_is_replaced_only_if_told(cli: Command, deployment: dict[str, str], file: Path) -> None:
    with there(deployment) as target:
        target.config.create(PATH, "theirs", is_encrypted=False, origin=Origin("eve"))
        target.flags.create(Flag("new_ui", "development"), origin=Origin("eve"))
        assert target.tokens is not None
        target.tokens.create(Token("deployer", tokens.digest("ck_y"), frozenset({"admin"})), origin=Origin("eve"))
    refused = cli("move", str(file), "--write")
    assert refused.code == 4
    assert "3 items there differ" in refused.err
    assert "--overwrite" in refused.err
    with there(deployment) as target:
        assert target.config.list(_all(), limit=10).total == 1
        assert target.config.read(PATH).value == "theirs"
    cli.ok("move", str(file), "--write", "--overwrite")
    with there(deployment) as target:
        now = target.config.read(PATH)
        assert (now.version, now.value) == (2, {"path": "/models/asr-2"})
        assert target.flags.read("development", "new_ui").is_enabled
        assert target.tokens is not None
        assert [token.digest for token in target.tokens.all()] == [tokens.digest("ck_x")]


def test_only_the_latest_versions_move_if_told(cli: Command, deployment: dict[str, str], file: Path) -> None:
    cli.ok("move", str(file), "--write", "--latest-only")
    with there(deployment) as target:
        assert [(v.version, v.changed_by) for v in target.config.history(PATH, limit=10).items] == [(1, "bob")]
        assert target.config.read(CEASED).value == "open now"


def test_a_file_that_is_none_and_an_environment_that_is_not_supported_are_refused(
    cli: Command, deployment: dict[str, str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("move", str(file) + "x").code == 2
    assert not Path(str(file) + "x").exists()
    monkeypatch.setenv("SUPPORTED_ENVIRONMENTS", "development,production")
    refused = cli("move", str(file))
    assert refused.code == 2
    assert "staging" in refused.err


def test_the_file_stays_as_it_is_but_for_the_record_that_it_was_read(cli: Command, deployment: dict[str, str], file: Path) -> None:
    cli.ok("move", str(file), "--write")
    with closing(open_sqlite(str(file), master_key=None)) as old:
        assert old.config.list(_all(), limit=10).total == 3
        assert old.journal is not None
        assert {entry.action for entry in old.journal.entries(limit=3)} == {"read"}


def _all() -> Any:
    from configkit.models import ConfigSelector

    return ConfigSelector()
