"""The contract of `Cache`: documents that only ever get newer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configkit.models import ConfigPath, ConfigVersion
from configkit.ports import Cache
from tests.conformance import fresh
from tests.conformance.backends import CACHES

PORT = "cache"


@pytest.fixture
def cache(backend: str) -> Cache:
    return CACHES[backend]()


def _document(path: ConfigPath, version: int, *, deleted: bool = False, value: object = None) -> ConfigVersion:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return ConfigVersion(path, version, value, False, False, at, at, deleted=deleted)


def test_nothing_is_known_at_first(cache: Cache) -> None:
    assert cache.get(fresh.path()) is None
    assert cache.paths() == []


def test_what_was_put_is_got(cache: Cache) -> None:
    document = _document(fresh.path(), 3, value={"a": 1})
    assert cache.put(document) is True
    assert cache.get(document.path) == document
    assert cache.paths() == [document.path]


def test_an_older_document_never_replaces_a_newer_one(cache: Cache) -> None:
    path = fresh.path()
    newer = _document(path, 2)
    cache.put(newer)
    assert cache.put(_document(path, 1)) is False
    assert cache.put(_document(path, 1, deleted=True)) is False
    assert cache.get(path) == newer


def test_a_tombstone_is_newer_than_the_value_of_its_version(cache: Cache) -> None:
    path = fresh.path()
    tombstone = _document(path, 2, deleted=True)
    assert cache.put(_document(path, 2)) is True
    assert cache.put(tombstone) is True
    assert cache.put(_document(path, 2)) is False
    assert cache.get(path) == tombstone
    assert cache.put(_document(path, 3)) is True


def test_absence_is_known_until_anything_is_written(cache: Cache) -> None:
    path = fresh.path()
    absent = _document(path, 0, deleted=True)
    assert cache.put(absent) is True
    assert cache.get(path) == absent
    assert cache.put(_document(path, 1)) is True
    assert cache.put(absent) is False
    kept = cache.get(path)
    assert kept is not None
    assert kept.version == 1


def test_what_is_there_already_is_not_kept_again(cache: Cache) -> None:
    path = fresh.path()
    cache.put(_document(path, 1))
    assert cache.put(_document(path, 1)) is False


def test_replacing_keeps_an_older_document_too(cache: Cache) -> None:
    path = fresh.path()
    cache.put(_document(path, 9, deleted=True))
    older = _document(path, 4)
    assert cache.put(older, replace=True) is True
    assert cache.get(path) == older


def test_clearing_forgets_everything(cache: Cache) -> None:
    paths = [fresh.path() for _ in range(3)]
    for path in paths:
        cache.put(_document(path, 1))
    cache.clear()
    assert cache.paths() == []
    assert [cache.get(path) for path in paths] == [None, None, None]
    assert cache.put(_document(paths[0], 1)) is True


def test_paths_do_not_meet(cache: Cache) -> None:
    one, two = fresh.path("a"), fresh.path("a")
    cache.put(_document(one, 5))
    assert cache.put(_document(two, 1)) is True
    assert sorted(cache.paths()) == sorted([one, two])


orders = st.tuples(st.integers(0, 6), st.booleans())


@given(puts=st.lists(orders, min_size=1, max_size=12))
def test_whatever_the_order_of_puts_the_newest_is_left(backend: str, puts: list[tuple[int, bool]]) -> None:
    cache, path = CACHES[backend](), fresh.path()
    newest: tuple[int, bool] | None = None
    for version, deleted in puts:
        kept = cache.put(_document(path, version, deleted=deleted))
        assert kept is (newest is None or (version, deleted) > newest)
        newest = (version, deleted) if newest is None else max(newest, (version, deleted))
        there = cache.get(path)
        assert there is not None
        assert there.order == newest


def test_every_order_of_four_puts_ends_with_the_newest(backend: str) -> None:
    documents = [(0, True), (1, False), (2, False), (2, True)]
    for order in permutations(documents):
        cache, path = CACHES[backend](), fresh.path()
        for version, deleted in order:
            cache.put(_document(path, version, deleted=deleted))
        there = cache.get(path)
        assert there is not None
        assert there.order == (2, True)


def test_threads_that_put_at_once_leave_the_newest(cache: Cache) -> None:
    path = fresh.path()

    def put(start: int) -> None:
        for version in range(start, 2000, 4):
            cache.put(_document(path, version))
            there = cache.get(path)
            assert there is not None
            assert there.version >= version

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(4)))
    there = cache.get(path)
    assert there is not None
    assert there.version == 1999
