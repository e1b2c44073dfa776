"""Flags of a later release, in the database of this one: each is missing by itself, and stays as it is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from configkit.client import ConfigKit
from configkit.errors import UnavailableError
from configkit.flags.model import Flag
from configkit.models import Origin
from configkit.ports import Backends
from tests.unit.backends.sql.conftest import Open

ORIGIN = Origin("test")
LATER = json.dumps({"rules": [{"name": "r", "conditions": [{"attribute": "a", "operator": "telepathy"}], "variant": "on"}]})


@pytest.fixture
def backends(tmp_path: Path, opened: Open) -> Backends:
    file = tmp_path / "configkit.db"
    backends = opened(file)
    for name in ("good", "later"):
        backends.flags.create(Flag(name, "development", is_enabled=True, rollout_percentage=100), origin=ORIGIN)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE flag SET definition = ? WHERE name = 'later'", (LATER,))
        connection.commit()
    return backends


def test_the_others_are_loaded_listed_and_decided(backends: Backends) -> None:
    loaded = backends.flags.load("development")
    assert loaded is not None
    assert (list(loaded.flags), sorted(loaded.flags.names)) == (["good"], ["good", "later"])
    assert [flag.name for flag in backends.flags.list(limit=10)] == ["good"]
    with ConfigKit(backends) as kit:
        assert kit.flags.is_enabled("good", user_id="u")
        found = kit.flags.evaluate("later", default=False, user_id="u")
        assert (found.value, found.error_code) == (False, "PARSE_ERROR")
        assert kit.flags.explain("later").steps[0].detail == "this release cannot read it"


@pytest.mark.parametrize(
    "attempt",
    [
        lambda flags: flags.read("development", "later"),
        lambda flags: flags.update("development", "later", {"is_enabled": False}, origin=ORIGIN),
        lambda flags: flags.delete("development", "later", origin=ORIGIN),
    ],
)
def test_it_is_neither_shown_nor_changed(backends: Backends, tmp_path: Path, attempt: Callable[..., object]) -> None:
    with pytest.raises(UnavailableError, match="later release") as caught:
        attempt(backends.flags)
    assert caught.value.nothing_changed
    with closing(sqlite3.connect(tmp_path / "configkit.db")) as connection:
        assert connection.execute("SELECT definition, version FROM flag WHERE name = 'later'").fetchone() == (LATER, 2)


def test_another_flag_is_changed_beside_it(backends: Backends) -> None:
    backends.flags.update("development", "good", {"is_enabled": False}, origin=ORIGIN)
    changes = backends.flags.changes("development", 2)
    assert changes is not None
    assert (list(changes.changed), changes.count) == (["good"], 2)
    backends.flags.delete("development", "good", origin=ORIGIN)
