"""`configkit rotate-key`."""

from pathlib import Path

import pytest

from tests.cli.command import Command


def test_a_new_key_file_takes_the_place_of_the_old_one_and_secrets_stay_readable(cli: Command, tmp_path: Path) -> None:
    cli.ok("config", "set", "api_key", "--secret", "-", stdin="secret_key_123")
    (key_file,) = tmp_path.glob("*.key")
    before = key_file.read_bytes()
    done = cli.ok("rotate-key")
    assert done.out.startswith("1 secret is encrypted")
    assert "restart" in done.err
    assert key_file.read_bytes() != before
    assert cli.ok("config", "get", "api_key", "--reveal").out == "secret_key_123\n"


def test_a_key_of_the_environment_takes_over_and_the_old_one_opens_nothing(
    cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("config", "set", "api_key", "--secret", "-", stdin="secret_key_123")
    monkeypatch.setenv("CONFIGKIT_NEW_MASTER_KEY", "a passphrase of some length")
    done = cli.ok("rotate-key")
    assert "a passphrase" not in done.out + done.err
    assert not list(tmp_path.glob("*.key"))
    assert f"the key file {tmp_path / 'configkit.db.key'} was removed" in done.err
    assert "restart every server" in done.err
    assert cli("config", "get", "api_key", "--reveal").code != 0
    monkeypatch.setenv("CONFIGKIT_MASTER_KEY", "a passphrase of some length")
    assert cli.ok("config", "get", "api_key", "--reveal").out == "secret_key_123\n"


def test_another_mode_than_embedded_has_no_key_to_rotate(cli: Command) -> None:
    assert cli("rotate-key", "--mode", "memory").code == 2
