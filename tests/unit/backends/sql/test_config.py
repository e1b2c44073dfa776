"""Versions against a model, their bounds, and what a list costs."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from configkit.backends.sql import open_sqlite
from configkit.backends.sql.config import MAX_VERSIONS
from configkit.errors import ConflictError, NotFoundError
from configkit.models import ConfigPath, ConfigSelector, Origin
from tests.unit.backends.sql.conftest import Open
from tests.unit.backends.sql.test_bus import statements

ORIGIN = Origin("ann", "test")
PATH = ConfigPath("development", "svc", "key")
PATHS = st.sampled_from([PATH, ConfigPath("development", "_shared", "key"), ConfigPath("production", "svc", "other.key")])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
).filter(lambda value: value != "********")
EXPECTED = st.none() | st.integers(0, 6)


class Versions(RuleBasedStateMachine):
    """Two clients of one file against a dict of lists: (value, secret, deleted)."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        file = str(Path(self.folder.name) / "configkit.db")
        self.clients = [open_sqlite(file, master_key="a passphrase of some length") for _ in range(2)]
        self.model: dict[ConfigPath, list[list[Any]]] = {}

    def teardown(self) -> None:
        for client in self.clients:
            client.close()
        self.folder.cleanup()

    def live(self, path: ConfigPath) -> bool:
        return path in self.model and not self.model[path][-1][2]

    @rule(path=PATHS, value=VALUES, secret=st.booleans(), client=st.integers(0, 1))
    def create(self, path: ConfigPath, value: Any, secret: bool, client: int) -> None:
        if self.live(path):
            with pytest.raises(ConflictError) as caught:
                self.clients[client].config.create(path, value, is_encrypted=secret, origin=ORIGIN)
            assert caught.value.actual == len(self.model[path])
        else:
            written = self.clients[client].config.create(path, value, is_encrypted=secret, origin=ORIGIN)
            self.model.setdefault(path, []).append([value, secret, False])
            assert written.version == len(self.model[path])

    @rule(path=PATHS, value=VALUES, secret=st.none() | st.booleans(), expected=EXPECTED, client=st.integers(0, 1))
    def update(self, path: ConfigPath, value: Any, secret: bool | None, expected: int | None, client: int) -> None:
        config = self.clients[client].config
        if not self.live(path):
            with pytest.raises(NotFoundError):
                config.update(path, value, is_encrypted=secret, expected_version=expected, origin=ORIGIN)
        elif expected not in (None, len(self.model[path])):
            with pytest.raises(ConflictError) as caught:
                config.update(path, value, is_encrypted=secret, expected_version=expected, origin=ORIGIN)
            assert (caught.value.expected, caught.value.actual) == (expected, len(self.model[path]))
        else:
            config.update(path, value, is_encrypted=secret, expected_version=expected, origin=ORIGIN)
            self.model[path].append([value, self.model[path][-1][1] if secret is None else secret, False])

    @rule(path=PATHS, expected=EXPECTED, client=st.integers(0, 1))
    def delete(self, path: ConfigPath, expected: int | None, client: int) -> None:
        config = self.clients[client].config
        if not self.live(path):
            with pytest.raises(NotFoundError):
                config.delete(path, origin=ORIGIN, expected_version=expected)
        elif expected not in (None, len(self.model[path])):
            with pytest.raises(ConflictError):
                config.delete(path, origin=ORIGIN, expected_version=expected)
        else:
            assert config.delete(path, origin=ORIGIN, expected_version=expected) == len(self.model[path])
            self.model[path][-1][2] = True

    @rule(path=PATHS, version=st.integers(-1, 8), client=st.integers(0, 1))
    def rollback(self, path: ConfigPath, version: int, client: int) -> None:
        config = self.clients[client].config
        versions = self.model.get(path, [])
        if not 1 <= version <= len(versions) or versions[version - 1][2]:
            with pytest.raises(NotFoundError):
                config.rollback(path, version, origin=ORIGIN)
        else:
            config.rollback(path, version, origin=ORIGIN)
            versions.append([versions[version - 1][0], versions[version - 1][1], False])

    @invariant()
    def agrees(self) -> None:
        for client in getattr(self, "clients", []):
            listed = client.config.list(ConfigSelector(), limit=500)
            assert [(each.path, each.value) for each in listed] == [
                (path, self.model[path][-1][0]) for path in sorted(self.model) if self.live(path)
            ]
            for path, versions in self.model.items():
                ever = any(secret for _, secret, _ in versions)
                shown = client.config.history(path, limit=500)
                assert [(each.version, each.value, each.is_encrypted, each.deleted, each.ever_secret) for each in shown] == [
                    (number, None if deleted else value, secret, deleted, ever)
                    for number, (value, secret, deleted) in reversed(list(enumerate(versions, 1)))
                ]


TestVersions = Versions.TestCase
TestVersions.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_the_last_hundred_versions_are_kept(opened: Open) -> None:
    config = opened().config
    config.create(PATH, 1, is_encrypted=False, origin=ORIGIN)
    for number in range(2, MAX_VERSIONS + 6):
        config.update(PATH, number, origin=ORIGIN)
    history = config.history(PATH, limit=500)
    assert (history.total, history.items[0].version, history.items[-1].version) == (100, 105, 6)
    with pytest.raises(NotFoundError):
        config.read(PATH, 5)
    with pytest.raises(NotFoundError):
        config.rollback(PATH, 5, origin=ORIGIN)
    assert config.rollback(PATH, 6, origin=ORIGIN).version == 106
    assert config.history(PATH, limit=1).total == 100


@pytest.mark.parametrize("version", [0, -1, 2, 2**63, 10**30])
def test_a_version_that_never_was_is_missing(opened: Open, version: int) -> None:
    config = opened().config
    config.create(PATH, "there", is_encrypted=False, origin=ORIGIN)
    with pytest.raises(NotFoundError) as caught:
        config.read(PATH, version)
    assert not caught.value.deleted


def test_a_page_of_ten_thousand_keys_costs_two_statements(opened: Open, file: Path) -> None:
    import sqlite3
    from contextlib import closing

    backends = opened()
    with closing(sqlite3.connect(file)) as raw, raw:
        for number in range(1, 10_001):
            raw.execute(
                "INSERT INTO config_key VALUES (?, 'development', ?, ?, 1, 0, 0, 0)",
                (number, f"svc{number % 7}", f"key{number:05}"),
            )
            raw.execute("INSERT INTO config_version VALUES (?, 1, '1', NULL, NULL, 0, 0, 0, 'ann', NULL)", (number,))
    with statements() as seen:
        page = backends.config.list(ConfigSelector(environments=frozenset(["development"])), limit=50, offset=5000)
    assert (page.total, len(page)) == (10_000, 50)
    assert len(seen) == 2
    with statements() as seen:
        assert len(backends.config.read_service("development", "svc3")) == 1429
    assert len(seen) == 1


def test_threads_of_one_client_lose_no_update(opened: Open) -> None:
    config = opened().config
    config.create(PATH, 0, is_encrypted=False, origin=ORIGIN)

    def increment(_: int) -> None:
        for _ in range(15):
            while True:
                found = config.read(PATH)
                try:
                    config.update(PATH, found.value + 1, origin=ORIGIN, expected_version=found.version)
                except ConflictError:
                    continue
                break

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(increment, range(24), timeout=60))
    assert config.read(PATH).value == 24 * 15


def test_an_empty_selection_selects_nothing(opened: Open) -> None:
    config = opened().config
    config.create(PATH, "there", is_encrypted=False, origin=ORIGIN)
    for selector in (ConfigSelector(environments=frozenset()), ConfigSelector(keys=frozenset())):
        assert config.list(selector, limit=10).total == 0


def test_a_flag_set_that_did_not_change_costs_one_statement_and_one_row(opened: Open) -> None:
    from configkit.flags.model import Flag

    flags = opened().flags
    for number in range(20):
        flags.create(Flag(f"flag{number}", "staging"), origin=ORIGIN)
    with statements() as seen:
        assert flags.load("staging", 20) is None
    assert len(seen) == 1
    with statements() as seen:
        loaded = flags.load("staging", 19)
    assert loaded is not None
    assert (loaded.version, len(loaded.flags), len(seen)) == (20, 20, 1)
    assert flags.load("production", 0) is None
    empty = flags.load("production", 7)
    assert empty is not None
    assert (empty.version, dict(empty.flags)) == (0, {})
