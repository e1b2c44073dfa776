"""The contract of `FlagStore`: whole sets, and lists."""

from __future__ import annotations

from typing import Any

from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagSet
from configkit.ports import FlagStore
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN

PORT = "flags"


def _set(store: FlagStore, environment: str = "staging") -> FlagSet:
    loaded = store.load(environment)
    assert loaded is not None
    return loaded


def test_a_set_is_loaded_only_when_it_is_another(deployment: Deployment) -> None:
    store = deployment.one.flags
    flag = store.create(fresh.flag(), origin=ORIGIN)
    loaded = _set(store)
    assert (loaded.environment, loaded.version) == ("staging", flag.version)
    assert loaded.flags[flag.name] == flag
    assert store.load("staging", loaded.version) is None
    assert deployment.other.flags.load("staging", loaded.version) is None
    deployment.other.flags.update("staging", flag.name, {"is_enabled": True}, origin=ORIGIN)
    newer = store.load("staging", loaded.version)
    assert newer is not None
    assert newer.version == loaded.version + 1
    assert newer.flags[flag.name].is_enabled


def test_a_loaded_set_stays_what_it_was(deployment: Deployment) -> None:
    store = deployment.one.flags
    flag = store.create(fresh.flag(), origin=ORIGIN)
    loaded = _set(store)
    store.update("staging", flag.name, {"is_enabled": True}, origin=ORIGIN)
    store.create(fresh.flag(), origin=ORIGIN)
    store.delete("staging", flag.name, origin=ORIGIN)
    assert loaded.flags[flag.name] == flag
    assert max(there.version for there in loaded.flags.values()) == loaded.version


def test_a_set_is_whole_however_many_flags_it_has(deployment: Deployment) -> None:
    store = deployment.one.flags
    names = {store.create(fresh.flag("production"), origin=ORIGIN).name for _ in range(120)}
    assert names <= set(_set(store, "production").flags)
    for name in names:
        store.delete("production", name, origin=ORIGIN)
    assert not names & set(_set(store, "production").flags)


def _listed(store: FlagStore, names: set[str], **wanted: Any) -> list[Flag]:
    found: list[Flag] = []
    while True:
        page = store.list(limit=500, offset=len(found), **wanted)
        found += page
        if len(found) >= page.total:
            return [flag for flag in found if flag.name in names]


def test_a_list_is_ordered_by_environment_and_name_and_filtered(deployment: Deployment) -> None:
    store = deployment.one.flags
    stem = fresh.name("flag")
    names = [f"{stem}{end}" for end in ("b", "Zeta", "a.b", "a", "a-b", "a_b")]
    for name in names:
        for environment in ("staging", "development"):
            store.create(fresh.flag(environment, name=name, is_enabled=name.endswith("b")), origin=ORIGIN)
    every = [(environment, name) for environment in ("development", "staging") for name in sorted(names)]
    other = deployment.other.flags

    def keys(**wanted: Any) -> list[tuple[str, str]]:
        return [(flag.environment, flag.name) for flag in _listed(other, set(names), **wanted)]

    assert keys() == every
    assert keys(environments=frozenset(("development", "staging"))) == every
    assert keys(environments=frozenset(("staging",))) == every[6:]
    assert keys(environments=frozenset()) == []
    assert keys(enabled=True) == [key for key in every if key[1].endswith("b")]
    assert keys(environments=frozenset(("staging",)), enabled=False) == [key for key in every[6:] if not key[1].endswith("b")]


def test_a_list_comes_in_pages_whose_total_counts_all(deployment: Deployment) -> None:
    store = deployment.one.flags
    for _ in range(3):
        store.create(fresh.flag(), origin=ORIGIN)
    whole = store.list(environments=frozenset(("staging",)), limit=500)
    assert whole.total == len(_set(store).flags)
    pages = [store.list(environments=frozenset(("staging",)), limit=2, offset=offset) for offset in (0, 2)]
    assert [flag for page in pages for flag in page] == list(whole)[:4]
    assert [(page.total, page.limit, page.offset) for page in pages] == [(whole.total, 2, 0), (whole.total, 2, 2)]
    beyond = store.list(environments=frozenset(("staging",)), limit=2, offset=whole.total)
    assert (list(beyond), beyond.total) == ([], whole.total)
