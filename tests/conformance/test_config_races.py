"""The contract of `ConfigStore`: what holds when several clients write at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from configkit.errors import ConflictError, NotFoundError
from configkit.models import ConfigPath
from configkit.ports import ConfigStore
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN

PORT = "config"


def _increment(store: ConfigStore, path: ConfigPath, times: int) -> list[int]:
    written: list[int] = []
    overtaken: list[tuple[int, int]] = []
    for _ in range(times):
        while True:
            there = store.read(path)
            try:
                answer = store.update(path, there.value + 1, origin=ORIGIN, expected_version=there.version)
            except ConflictError as conflict:
                overtaken.append((there.version, conflict.actual or 0))
            else:
                written.append(answer.version)
                break
    assert all(mine < actual for mine, actual in overtaken)
    return written


def test_clients_that_compare_and_set_lose_no_update(deployment: Deployment) -> None:
    path = fresh.path("counter")
    deployment.one.config.create(path, 0, is_encrypted=False, origin=ORIGIN)
    stores = (deployment.one.config, deployment.other.config)
    with ThreadPoolExecutor(4) as pool:
        versions = [version for run in pool.map(lambda n: _increment(stores[n % 2], path, 10), range(4)) for version in run]
    assert sorted(versions) == list(range(2, 42))
    final = deployment.one.config.read(path)
    assert (final.value, final.version) == (40, 41)


def test_clients_that_write_blindly_get_a_version_each(deployment: Deployment) -> None:
    path = fresh.path()
    deployment.one.config.create(path, 0, is_encrypted=False, origin=ORIGIN)
    stores = (deployment.one.config, deployment.other.config)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: stores[n % 2].update(path, n, origin=ORIGIN), range(24)))
    assert sorted(answer.version for answer in answers) == list(range(2, 26))
    for answer in answers:
        assert deployment.one.config.read(path, answer.version).value == answer.value


def test_of_clients_that_create_the_same_key_one_wins(deployment: Deployment) -> None:
    path = fresh.path()
    stores = (deployment.one.config, deployment.other.config)

    def create(number: int) -> int:
        try:
            return stores[number % 2].create(path, number, is_encrypted=False, origin=ORIGIN).version
        except ConflictError as conflict:
            return -(conflict.actual or 0)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(create, range(8))) == [-1] * 7 + [1]
    assert deployment.one.config.history(path, limit=10).total == 1


def test_of_clients_that_delete_the_same_version_one_wins(deployment: Deployment) -> None:
    path = fresh.path()
    deployment.one.config.create(path, 1, is_encrypted=False, origin=ORIGIN)
    stores = (deployment.one.config, deployment.other.config)

    def delete(number: int) -> int:
        try:
            return stores[number % 2].delete(path, origin=ORIGIN)
        except NotFoundError as missing:
            return -missing.version

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(delete, range(8))) == [-1] * 7 + [1]


def test_clients_that_write_different_keys_do_not_disturb_each_other(deployment: Deployment) -> None:
    service = fresh.name("svc")
    stores = (deployment.one.config, deployment.other.config)

    def write(number: int) -> None:
        path = fresh.path(f"k{number}", service=service)
        stores[number % 2].create(path, number, is_encrypted=number % 3 == 0, origin=ORIGIN)
        stores[number % 2].update(path, number, origin=ORIGIN, expected_version=1)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(24)))
    read = deployment.one.config.read_service("development", service)
    assert {key: (document.value, document.version) for key, document in read.items()} == {f"k{n}": (n, 2) for n in range(24)}
