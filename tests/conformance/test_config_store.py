"""The contract of `ConfigStore`: reading, writing, deleting, marks. Listing, values and races have files of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from configkit.errors import ConflictError, InvalidDocumentError, NotFoundError
from configkit.models import ConfigVersion
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN

PORT = "config"


def test_the_first_version_is_1_and_is_what_is_read(deployment: Deployment) -> None:
    path = fresh.path()
    written = deployment.one.config.create(path, "/models/asr", is_encrypted=False, origin=ORIGIN)
    assert (written.path, written.version, written.value) == (path, 1, "/models/asr")
    assert (written.is_encrypted, written.ever_secret, written.deleted, written.masked) == (False, False, False, False)
    assert deployment.one.config.read(path) == written


def test_the_other_client_reads_what_was_written(deployment: Deployment) -> None:
    path = fresh.path()
    written = deployment.one.config.create(path, {"a": [1, 2]}, is_encrypted=False, origin=ORIGIN)
    assert deployment.other.config.read(path) == written


def test_each_write_adds_one_to_the_version_whichever_client_makes_it(deployment: Deployment) -> None:
    path = fresh.path()
    deployment.one.config.create(path, 0, is_encrypted=False, origin=ORIGIN)
    stores = (deployment.one.config, deployment.other.config)
    versions = [stores[number % 2].update(path, number, origin=ORIGIN).version for number in range(6)]
    assert versions == [2, 3, 4, 5, 6, 7]


def test_an_update_with_the_same_value_is_a_version_too(deployment: Deployment) -> None:
    path = fresh.path()
    deployment.one.config.create(path, "same", is_encrypted=False, origin=ORIGIN)
    assert deployment.one.config.update(path, "same", origin=ORIGIN).version == 2


def test_creating_what_is_there_conflicts_and_tells_its_version(deployment: Deployment) -> None:
    path = fresh.path()
    deployment.one.config.create(path, "first", is_encrypted=False, origin=ORIGIN)
    deployment.one.config.update(path, "second", origin=ORIGIN)
    with pytest.raises(ConflictError) as caught:
        deployment.other.config.create(path, "third", is_encrypted=False, origin=ORIGIN)
    assert caught.value.actual == 2
    assert deployment.one.config.read(path).value == "second"


def test_what_was_never_written_is_not_found(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    for attempt in (
        lambda: store.read(path),
        lambda: store.read(path, 1),
        lambda: store.update(path, "value", origin=ORIGIN),
        lambda: store.update(path, "value", origin=ORIGIN, expected_version=1),
        lambda: store.delete(path, origin=ORIGIN),
        lambda: store.delete(path, origin=ORIGIN, expected_version=1),
        lambda: store.history(path, limit=10),
        lambda: store.rollback(path, 1, origin=ORIGIN),
    ):
        with pytest.raises(NotFoundError) as caught:
            attempt()
        assert (caught.value.deleted, caught.value.version) == (False, 0)


def test_an_exact_version_can_be_read(deployment: Deployment) -> None:
    path = fresh.path()
    first = deployment.one.config.create(path, "first", is_encrypted=False, origin=ORIGIN)
    second = deployment.one.config.update(path, "second", origin=ORIGIN)
    assert deployment.one.config.read(path, 1) == first
    assert deployment.one.config.read(path, 2) == second


def test_a_version_that_was_not_reached_yet_is_not_found(deployment: Deployment) -> None:
    path = fresh.path()
    deployment.one.config.create(path, "first", is_encrypted=False, origin=ORIGIN)
    for version in (2, 1000):
        with pytest.raises(NotFoundError) as caught:
            deployment.one.config.read(path, version)
        assert (caught.value.deleted, caught.value.version) == (False, 0)


def test_an_update_with_the_version_that_is_there_is_written(deployment: Deployment) -> None:
    path = fresh.path()
    deployment.one.config.create(path, "first", is_encrypted=False, origin=ORIGIN)
    assert deployment.other.config.update(path, "second", origin=ORIGIN, expected_version=1).version == 2


@pytest.mark.parametrize("expected", [1, 3, 99])
def test_an_update_with_another_version_conflicts_and_writes_nothing(deployment: Deployment, expected: int) -> None:
    path = fresh.path()
    deployment.one.config.create(path, "first", is_encrypted=False, origin=ORIGIN)
    deployment.one.config.update(path, "second", origin=ORIGIN)
    with pytest.raises(ConflictError) as caught:
        deployment.other.config.update(path, "lost", origin=ORIGIN, expected_version=expected)
    assert (caught.value.expected, caught.value.actual) == (expected, 2)
    assert deployment.one.config.read(path).value == "second"
    assert deployment.one.config.history(path, limit=10).total == 2


def test_author_comment_and_times_are_kept_with_each_version(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    first = store.create(path, 1, is_encrypted=False, origin=ORIGIN, comment="the first")
    second = store.update(path, 2, origin=ORIGIN)
    assert (first.comment, second.comment) == ("the first", None)
    assert first.changed_by == second.changed_by == (deployment.known_as or "ann")
    assert fresh.is_recent(first.created_at)
    assert fresh.is_recent(second.updated_at)
    assert first.created_at == second.created_at == store.read(path).created_at
    assert first.updated_at <= second.updated_at
    assert first.created_at <= first.updated_at


@pytest.mark.parametrize(
    "comment", ["für die Übersetzung 翻訳 🚀", "two\nlines\tand a tab", "'; DROP TABLE config; --", "", "x" * 1000]
)
def test_a_comment_comes_back_as_it_was(deployment: Deployment, comment: str) -> None:
    path = fresh.path()
    deployment.one.config.create(path, 1, is_encrypted=False, origin=ORIGIN, comment=comment)
    assert deployment.other.config.read(path).comment == comment


@pytest.mark.parametrize("comment", ["a lone \ud800 surrogate", "a \x00 NUL", "x" * 5000])
def test_a_comment_that_cannot_be_kept_is_refused_and_nothing_changes(deployment: Deployment, comment: str) -> None:
    path = fresh.path()
    deployment.one.config.create(path, 1, is_encrypted=False, origin=ORIGIN)
    with pytest.raises(InvalidDocumentError) as caught:
        deployment.one.config.update(path, 2, origin=ORIGIN, comment=comment)
    assert caught.value.pointer == "/comment"
    assert deployment.one.config.read(path).version == 1


def test_deleting_returns_the_version_and_leaves_a_tombstone_of_it(deployment: Deployment) -> None:
    path = fresh.path()
    deployment.one.config.create(path, "first", is_encrypted=False, origin=ORIGIN)
    deployment.one.config.update(path, "second", origin=ORIGIN)
    assert deployment.one.config.delete(path, origin=ORIGIN) == 2
    with pytest.raises(NotFoundError) as caught:
        deployment.other.config.read(path)
    assert (caught.value.deleted, caught.value.version) == (True, 2)


def test_a_deleted_key_refuses_update_and_delete_and_tells_what_was_deleted(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "first", is_encrypted=False, origin=ORIGIN)
    store.delete(path, origin=ORIGIN)
    for attempt in (
        lambda: store.update(path, "value", origin=ORIGIN),
        lambda: store.update(path, "value", origin=ORIGIN, expected_version=1),
        lambda: store.delete(path, origin=ORIGIN),
        lambda: store.delete(path, origin=ORIGIN, expected_version=1),
        lambda: store.read(path, 1),
    ):
        with pytest.raises(NotFoundError) as caught:
            attempt()
        assert (caught.value.deleted, caught.value.version) == (True, 1)


def test_creating_after_a_delete_goes_on_with_the_numbers(deployment: Deployment) -> None:
    path = fresh.path()
    first = deployment.one.config.create(path, "first", is_encrypted=False, origin=ORIGIN)
    deployment.one.config.delete(path, origin=ORIGIN)
    again = deployment.other.config.create(path, "again", is_encrypted=False, origin=ORIGIN)
    assert (again.version, again.value, again.deleted) == (2, "again", False)
    assert again.created_at == first.created_at
    assert deployment.one.config.read(path) == again


def test_older_versions_outlive_a_delete_and_the_deleted_one_does_not(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "first", is_encrypted=False, origin=ORIGIN)
    store.update(path, "second", origin=ORIGIN)
    store.delete(path, origin=ORIGIN)
    assert store.read(path, 1).value == "first"
    store.create(path, "third", is_encrypted=False, origin=ORIGIN)
    with pytest.raises(NotFoundError) as caught:
        store.read(path, 2)
    assert (caught.value.deleted, caught.value.version) == (False, 0)


def test_deleting_the_expected_version_is_done_and_another_one_conflicts(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "first", is_encrypted=False, origin=ORIGIN)
    store.update(path, "second", origin=ORIGIN)
    with pytest.raises(ConflictError) as caught:
        store.delete(path, origin=ORIGIN, expected_version=1)
    assert (caught.value.expected, caught.value.actual) == (1, 2)
    assert store.read(path).value == "second"
    assert store.delete(path, origin=ORIGIN, expected_version=2) == 2


def test_a_secret_is_read_in_the_clear_by_whom_may(deployment: Deployment) -> None:
    path = fresh.path("api_key")
    deployment.one.config.create(path, "secret_key_123", is_encrypted=True, origin=ORIGIN)
    read = deployment.other.config.read(path)
    assert (read.value, read.is_encrypted, read.ever_secret, read.masked) == ("secret_key_123", True, True, False)


def test_the_answer_to_writing_a_secret_is_marked_and_shows_the_secret_or_the_mask(deployment: Deployment) -> None:
    path = fresh.path("api_key")
    store = deployment.one.config
    for written, value in (
        (store.create(path, "one", is_encrypted=True, origin=ORIGIN), "one"),
        (store.update(path, "two", origin=ORIGIN), "two"),
    ):
        assert (written.is_encrypted, written.ever_secret) == (True, True)
        assert written.value is None if written.masked else written.value == value


def test_an_update_keeps_the_mark_unless_told_otherwise(deployment: Deployment) -> None:
    secret, plain = fresh.path("secret"), fresh.path("plain")
    store = deployment.one.config
    store.create(secret, "one", is_encrypted=True, origin=ORIGIN)
    store.create(plain, "one", is_encrypted=False, origin=ORIGIN)
    assert store.update(secret, "two", origin=ORIGIN).is_encrypted is True
    assert store.update(plain, "two", origin=ORIGIN).is_encrypted is False
    assert store.update(secret, "three", origin=ORIGIN, is_encrypted=False).is_encrypted is False
    assert store.update(plain, "three", origin=ORIGIN, is_encrypted=True).is_encrypted is True
    assert store.update(secret, "four", origin=ORIGIN).is_encrypted is False
    assert store.update(plain, "four", origin=ORIGIN).is_encrypted is True
    assert (store.read(secret).value, store.read(plain).value) == ("four", "four")


def test_a_key_that_was_secret_once_counts_as_secret_in_every_version(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "plain", is_encrypted=False, origin=ORIGIN)
    assert store.read(path).ever_secret is False
    store.update(path, "secret", origin=ORIGIN, is_encrypted=True)
    store.update(path, "plain again", origin=ORIGIN, is_encrypted=False)
    assert [store.read(path, version).ever_secret for version in (1, 2, 3)] == [True, True, True]
    assert [store.read(path, version).is_encrypted for version in (1, 2, 3)] == [False, True, False]
    assert all(version.ever_secret for version in store.history(path, limit=10))
    store.delete(path, origin=ORIGIN)
    store.create(path, "plain after all", is_encrypted=False, origin=ORIGIN)
    assert store.read(path).ever_secret is True


def test_a_secret_is_not_in_the_text_of_its_document_or_of_an_error(deployment: Deployment) -> None:
    path = fresh.path("api_key")
    store = deployment.one.config
    store.create(path, "canary-4711", is_encrypted=True, origin=ORIGIN)
    assert "canary-4711" not in repr(store.read(path))
    with pytest.raises(ConflictError) as caught:
        store.create(path, "canary-4711", is_encrypted=True, origin=ORIGIN)
    assert "canary-4711" not in f"{caught.value!r} {caught.value}"


def test_keys_of_the_same_name_are_apart_by_service_and_environment(deployment: Deployment) -> None:
    service = fresh.name("svc")
    paths = [fresh.path(environment=environment, service=service) for environment in ("development", "staging", "production")]
    paths.append(fresh.path())
    for number, path in enumerate(paths):
        deployment.one.config.create(path, number, is_encrypted=False, origin=ORIGIN)
    deployment.one.config.delete(paths[0], origin=ORIGIN)
    assert [deployment.other.config.read(path).value for path in paths[1:]] == [1, 2, 3]


def test_names_at_the_limits_of_what_is_allowed_are_names(deployment: Deployment) -> None:
    unique = fresh.name("")[-8:]
    service = f"a.b_c-{unique}".ljust(100, "z")
    for key in ("k", "9", "a.b-c_d", "Z_", f"history-{unique}", "rollback", "bulk", "x" * 255):
        path = fresh.path(key, service=service)
        written = deployment.one.config.create(path, key, is_encrypted=False, origin=ORIGIN)
        assert deployment.other.config.read(path) == written
        assert [version.version for version in deployment.other.config.history(path, limit=5)] == [1]
    assert len(deployment.other.config.read_service("development", service)) == 8


def test_keys_that_differ_in_case_are_two_keys(deployment: Deployment) -> None:
    lower = fresh.path("model")
    upper = fresh.path("MODEL", service=lower.service_name)
    deployment.one.config.create(lower, "lower", is_encrypted=False, origin=ORIGIN)
    deployment.one.config.create(upper, "upper", is_encrypted=False, origin=ORIGIN)
    assert (deployment.one.config.read(lower).value, deployment.one.config.read(upper).value) == ("lower", "upper")


def test_times_are_those_of_the_write_and_not_of_the_read(deployment: Deployment) -> None:
    path = fresh.path()
    before = datetime.now(UTC) - timedelta(seconds=1)
    deployment.one.config.create(path, 1, is_encrypted=False, origin=ORIGIN)
    after = datetime.now(UTC) + timedelta(seconds=1)
    read: ConfigVersion = deployment.one.config.read(path)
    assert before <= read.updated_at <= after
    assert deployment.one.config.read(path).updated_at == read.updated_at
