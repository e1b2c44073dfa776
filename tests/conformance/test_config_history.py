"""The contract of `ConfigStore`: history, how long it lasts, and going back."""

from __future__ import annotations

import pytest

from configkit.errors import NotFoundError
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN

PORT = "config"


def test_history_is_newest_first_and_whole(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    written = [store.create(path, 0, is_encrypted=False, origin=ORIGIN, comment="number 0")]
    written += [store.update(path, number, origin=ORIGIN, comment=f"number {number}") for number in (1, 2, 3)]
    page = deployment.other.config.history(path, limit=10)
    assert list(page) == written[::-1]
    assert (page.total, page.limit, page.offset) == (4, 10, 0)


def test_history_comes_in_pages(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, 0, is_encrypted=False, origin=ORIGIN)
    for number in range(1, 5):
        store.update(path, number, origin=ORIGIN)
    pages = [store.history(path, limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [[version.version for version in page] for page in pages] == [[5, 4], [3, 2], [1], []]
    assert {page.total for page in pages} == {5}


def test_history_shows_a_deleted_version_without_value_author_and_comment(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "first", is_encrypted=False, origin=ORIGIN, comment="kept")
    store.update(path, "second", origin=ORIGIN, comment="dropped")
    store.delete(path, origin=ORIGIN)
    tombstone, first = store.history(path, limit=10)
    assert (tombstone.version, tombstone.deleted) == (2, True)
    assert (tombstone.value, tombstone.changed_by, tombstone.comment) == (None, None, None)
    assert (first.version, first.deleted, first.value, first.comment) == (1, False, "first", "kept")
    store.create(path, "third", is_encrypted=False, origin=ORIGIN)
    assert [(version.version, version.deleted) for version in store.history(path, limit=10)] == [(3, False), (2, True), (1, False)]


def test_history_shows_secrets_to_whom_may_read_them(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "one", is_encrypted=True, origin=ORIGIN)
    store.update(path, "two", origin=ORIGIN)
    assert [version.value for version in store.history(path, limit=10)] == ["two", "one"]


def test_a_hundred_versions_are_kept_and_the_oldest_are_gone(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, 1, is_encrypted=False, origin=ORIGIN)
    for number in range(2, 103):
        store.update(path, number, origin=ORIGIN)
    assert store.history(path, limit=500).total == 100
    assert [version.version for version in store.history(path, limit=5, offset=98)] == [4, 3]
    for gone in (1, 2):
        with pytest.raises(NotFoundError):
            store.read(path, gone)
        with pytest.raises(NotFoundError):
            store.rollback(path, gone, origin=ORIGIN)
    assert store.read(path, 3).value == 3
    assert store.read(path).version == 102


def test_rollback_writes_the_old_value_as_a_new_version(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, {"size": 1}, is_encrypted=False, origin=ORIGIN, comment="small")
    store.update(path, {"size": 2}, origin=ORIGIN)
    back = store.rollback(path, 1, origin=ORIGIN, comment="too big")
    assert (back.version, back.value, back.comment) == (3, {"size": 1}, "too big")
    assert back.changed_by == (deployment.known_as or "ann")
    assert deployment.other.config.read(path) == back


def test_rollback_to_the_latest_version_is_a_new_version_too(deployment: Deployment) -> None:
    path = fresh.path()
    deployment.one.config.create(path, "only", is_encrypted=False, origin=ORIGIN)
    assert deployment.one.config.rollback(path, 1, origin=ORIGIN).version == 2


def test_rollback_brings_back_the_secret_mark_of_that_version(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "was secret", is_encrypted=True, origin=ORIGIN)
    store.update(path, "is plain", origin=ORIGIN, is_encrypted=False)
    back = store.rollback(path, 1, origin=ORIGIN)
    assert (back.version, back.is_encrypted) == (3, True)
    assert store.read(path).value == "was secret"


def test_rollback_to_a_plain_version_is_plain_but_the_key_counts_as_secret(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "was plain", is_encrypted=False, origin=ORIGIN)
    store.update(path, "is secret", origin=ORIGIN, is_encrypted=True)
    back = store.rollback(path, 1, origin=ORIGIN)
    assert (back.version, back.is_encrypted, back.ever_secret) == (3, False, True)
    assert store.read(path).value == "was plain"


def test_rollback_revives_a_deleted_key(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "good", is_encrypted=False, origin=ORIGIN)
    store.update(path, "bad", origin=ORIGIN)
    store.delete(path, origin=ORIGIN)
    assert store.rollback(path, 1, origin=ORIGIN).version == 3
    assert store.read(path).value == "good"


def test_rollback_to_a_deleted_version_is_not_found_and_changes_nothing(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "first", is_encrypted=False, origin=ORIGIN)
    store.update(path, "second", origin=ORIGIN)
    store.delete(path, origin=ORIGIN)
    for version in (2, 3):
        with pytest.raises(NotFoundError) as caught:
            store.rollback(path, version, origin=ORIGIN)
        assert (caught.value.deleted, caught.value.version) == (True, 2)
    assert store.history(path, limit=10).total == 2
