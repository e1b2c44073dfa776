"""The contract of `BlobCache`: bytes that only ever get newer, until they are forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configkit.ports import BlobCache
from tests.conformance import fresh
from tests.conformance.backends import BLOBS
from tests.waiting import eventually

PORT = "blobs"
LONG = 60.0


@pytest.fixture
def blobs(backend: str) -> BlobCache:
    return BLOBS[backend]()


def test_nothing_is_kept_at_first(blobs: BlobCache) -> None:
    assert blobs.load(fresh.name("blob")) is None


@pytest.mark.parametrize("content", [b"", b"\x00\xff\r\n", b"ck1 9 ", "ä".encode(), bytes(range(256)) * 4096])
def test_what_was_kept_is_loaded_byte_for_byte(blobs: BlobCache, content: bytes) -> None:
    name = fresh.name("blob")
    assert blobs.keep(name, 3, content, seconds=LONG) is True
    assert blobs.load(name) == (3, content)


def test_an_older_or_equal_version_never_replaces_what_is_there(blobs: BlobCache) -> None:
    name = fresh.name("blob")
    blobs.keep(name, 5, b"five", seconds=LONG)
    assert blobs.keep(name, 4, b"four", seconds=LONG) is False
    assert blobs.keep(name, 5, b"another five", seconds=LONG) is False
    assert blobs.load(name) == (5, b"five")
    assert blobs.keep(name, 6, b"six", seconds=LONG) is True
    assert blobs.load(name) == (6, b"six")


def test_what_was_dropped_is_forgotten_and_any_version_may_follow(blobs: BlobCache) -> None:
    name = fresh.name("blob")
    blobs.drop(name)
    blobs.keep(name, 5, b"five", seconds=LONG)
    blobs.drop(name)
    assert blobs.load(name) is None
    assert blobs.keep(name, 1, b"one", seconds=LONG) is True
    assert blobs.load(name) == (1, b"one")


def test_what_is_kept_is_forgotten_after_its_time(blobs: BlobCache) -> None:
    name = fresh.name("blob")
    blobs.keep(name, 5, b"five", seconds=0.05)
    eventually(lambda: blobs.load(name) is None)
    assert blobs.keep(name, 1, b"one", seconds=LONG) is True


def test_names_do_not_meet(blobs: BlobCache) -> None:
    one, two = fresh.name("blob"), fresh.name("blob")
    blobs.keep(one, 5, b"one", seconds=LONG)
    blobs.keep(two, 1, b"two", seconds=LONG)
    assert (blobs.load(one), blobs.load(two)) == ((5, b"one"), (1, b"two"))


@given(versions=st.lists(st.integers(0, 2**50), min_size=1, max_size=8))
def test_whatever_the_order_of_versions_the_newest_is_left(backend: str, versions: list[int]) -> None:
    blobs, name = BLOBS[backend](), fresh.name("blob")
    newest = -1
    for version in versions:
        assert blobs.keep(name, version, b"%d" % version, seconds=LONG) is (version > newest)
        newest = max(newest, version)
        assert blobs.load(name) == (newest, b"%d" % newest)


def test_threads_that_keep_at_once_leave_the_newest(blobs: BlobCache) -> None:
    name = fresh.name("blob")

    def keep(start: int) -> None:
        for version in range(start, 400, 4):
            blobs.keep(name, version, b"%d" % version, seconds=LONG)
            there = blobs.load(name)
            assert there is not None
            assert there[0] >= version

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, range(4)))
    assert blobs.load(name) == (399, b"399")
