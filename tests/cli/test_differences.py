"""What an import writes, and how it shows that it is under way."""

import os
import pty
import select
import sys

import pytest

from configkit import testing
from configkit.cli.differences import CHANGED, NEW, SAME, compared, written
from configkit.cli.progress import Progress
from configkit.errors import ConflictError
from configkit.models import ConfigPath

PATHS = [ConfigPath("development", "test-service", key) for key in ("a", "b")]


def test_a_key_that_somebody_changed_after_it_was_compared_is_not_overwritten() -> None:
    with testing.memory({"a": "one", "b": "one"}) as kit:
        present = kit.documents.read_service("development", "test-service")
        changes = [compared(path, "imported", secret=False, present=present[path.key]) for path in PATHS]
        kit.config.set("b", "somebody's")
        with pytest.raises(ConflictError, match="1 of 2 keys were written before"):
            written(kit, changes, "a comment", lambda: None)
        assert (kit.config.get("a"), kit.config.get("b")) == ("imported", "somebody's")


def test_a_key_that_appeared_after_it_was_compared_is_not_overwritten() -> None:
    with testing.memory() as kit:
        changes = [compared(path, "imported", secret=False, present=None) for path in PATHS]
        kit.config.set("a", "somebody's")
        with pytest.raises(ConflictError, match="0 of 2 keys were written before"):
            written(kit, changes, "a comment", lambda: None)
        assert kit.config.get("a") == "somebody's"


def test_becoming_secret_is_a_change_and_the_value_is_not_shown() -> None:
    with testing.memory({"a": "canary"}) as kit:
        present = kit.documents.read(PATHS[0])
    plain = compared(PATHS[0], "canary", secret=False, present=present)
    secret = compared(PATHS[0], "canary", secret=True, present=present)
    new = compared(PATHS[0], "canary", secret=True, present=None)
    assert (plain.kind, secret.kind, new.kind) == (SAME, CHANGED, NEW)
    assert "canary" not in f"{secret!r}{new!r}{secret.before}{secret.after}{new.after}"


def test_what_takes_long_shows_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    try:
        with os.fdopen(slave, "w") as terminal:
            monkeypatch.setattr(sys, "stderr", terminal)
            with Progress("importing", 4, patience=0.0) as progress:
                for _ in range(2):
                    progress.step()
            terminal.flush()
            shown = b""
            while b"50%" not in shown and select.select([master], [], [], 5.0)[0]:  # a terminal gives what it has, bit by bit
                shown += os.read(master, 65536)
    finally:
        os.close(master)
    assert b"importing" in shown
    assert b"50%" in shown


def test_what_is_quick_shows_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("importing", 2) as progress:
        progress.step()
    assert capsys.readouterr().err == ""
