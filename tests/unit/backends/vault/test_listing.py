"""Lists and whole services: names of others, large services, and the time that bulk reads take."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from configkit.backends.vault import listing
from configkit.backends.vault.config import VaultConfigStore
from configkit.errors import InvalidDocumentError, UnavailableError
from configkit.models import ConfigPath, ConfigSelector, Origin
from tests.unit.backends.vault.answering import delayed
from tests.vaults import Mount

ORIGIN = Origin("ann")
COUNT = 500


def fill(store: VaultConfigStore, count: int, *, service: str = "asr-service") -> list[ConfigPath]:
    paths = [ConfigPath("development", service, f"k{number:04d}") for number in range(count)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: store.create(path, path.key, is_encrypted=False, origin=ORIGIN), paths))
    return paths


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def test_five_hundred_cold_keys_are_read_at_once(mount: Mount) -> None:
    with closing(mount.open(deadline=60)) as store:
        paths = fill(store, COUNT)
        near = min(seconds(lambda: store.read_service("development", "asr-service")) for _ in range(3))
        one_by_one = seconds(lambda: [store.read(path) for path in paths])
    with delayed(mount.address, 0.02) as address, closing(mount.open(address=address, deadline=60)) as far_store:
        far_store.ping()
        far = min(seconds(lambda: far_store.read_service("development", "asr-service")) for _ in range(3))
        far_one_by_one = seconds(lambda: [far_store.read(path) for path in paths[:50]]) * COUNT / 50
    assert near <= 1.2 * one_by_one, f"{near:.2f} s for {one_by_one:.2f} s one by one"
    assert far <= far_one_by_one / 8, f"20 ms away: {far:.2f} s for {far_one_by_one:.2f} s one by one"


def test_what_is_no_name_of_configkit_is_not_listed(store: VaultConfigStore, mount: Mount) -> None:
    for path in (
        "development/asr-service/k",
        "development/asr-service/k/inner",
        "development/asr-service/with space",
        "development/asr-service/-k",
        "development/Asr/k",
        "development/lone",
        "Development/asr-service/k",
        "lone",
    ):
        assert mount.ask("POST", f"{mount.name}/data/{path.replace(' ', '%20')}", {"data": {"value": "x"}}).status == 200
    page = store.list(ConfigSelector(), limit=10)
    assert ([str(item.path) for item in page], page.total) == (["development/asr-service/k"], 1)
    assert list(store.read_service("development", "asr-service")) == ["k"]


def test_a_list_looks_through_the_environments_that_exist(mount: Mount) -> None:
    for environment in ("development", "staging", "team-x"):
        mount.ask("POST", f"{mount.name}/data/{environment}/asr-service/k", {"data": {"value": "x"}})
    with closing(mount.open(environments=frozenset(("development", "staging", "production")))) as store:
        assert [item.path.environment for item in store.list(ConfigSelector(), limit=10)] == ["development", "staging"]
    with closing(mount.open()) as store:
        assert store.list(ConfigSelector(), limit=10).total == 3


def test_a_list_of_many_keys_reads_each_once_and_then_what_it_shows(
    store: VaultConfigStore, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "READ_ALL", 20)
    paths = fill(store, 40)
    of_service = ConfigSelector(services=frozenset(("asr-service",)))
    assert store.list(of_service, limit=5).total == 40
    for path in paths[:3]:
        mount.ask("DELETE", f"{mount.name}/data/{path}")
    page = store.list(of_service, limit=5)
    assert [item.path for item in page] == paths[3:8]
    assert page.total == 37
    mount.ask("POST", f"{mount.name}/undelete/{paths[0]}", {"versions": [1]})
    assert next(iter(store.list(of_service, limit=5))).path == paths[0]
    store.delete(paths[39], origin=ORIGIN)
    page = store.list(of_service, limit=5, offset=35)
    assert ([item.path for item in page], page.total) == (paths[37:39], 37)


def test_a_list_that_cannot_be_read_in_time_is_unavailable_in_time(mount: Mount) -> None:
    with closing(mount.open()) as store:
        fill(store, 100)
    with delayed(mount.address, 0.1) as address, closing(mount.open(address=address)) as far:
        far.ping()
        far._session.deadline = 0.3
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            far.list(ConfigSelector(services=frozenset(("asr-service",))), limit=5)
        assert time.monotonic() - began < 0.4


@pytest.mark.parametrize("service", ["../../sys", "a/b", "..", "", "A b", "a\x00"])
def test_a_service_that_is_none_is_not_looked_for(store: VaultConfigStore, service: str) -> None:
    with pytest.raises(InvalidDocumentError):
        store.read_service("development", service)
    assert store.list(ConfigSelector(services=frozenset((service,))), limit=5).total == 0
