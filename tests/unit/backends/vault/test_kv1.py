"""The KV engine version 1: what it can do works, and what it cannot is refused with the reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from configkit.backends.vault.kv1 import VaultKv1ConfigStore
from configkit.errors import ConflictError, InvalidDocumentError, NotFoundError, UnavailableError
from configkit.models import ConfigPath, ConfigSelector, Origin
from tests.conformance import fresh
from tests.conformance.test_config_values import json_values
from tests.vaults import Mount, fresh_mount

ORIGIN = Origin("ann")
PATH = ConfigPath("development", "asr-service", "model_path")


@pytest.fixture(scope="module")
def mount() -> Iterator[Mount]:
    with fresh_mount(kv_version=1) as fresh_one:
        yield fresh_one


@pytest.fixture(scope="module")
def store(mount: Mount) -> Iterator[VaultKv1ConfigStore]:
    with closing(mount.open(kv_version=1)) as opened:
        yield opened


def test_a_value_is_created_read_updated_and_deleted(store: VaultKv1ConfigStore, mount: Mount) -> None:
    path = fresh.path()
    written = store.create(path, {"size": 2**60}, is_encrypted=False, origin=ORIGIN, comment="why")
    assert store.read(path) == written == store.read(path, written.version)
    assert (written.value, written.changed_by, written.comment, written.ever_secret) == ({"size": 2**60}, "ann", "why", False)
    fields = mount.ask("GET", f"{mount.name}/{path}").body["data"]
    assert (fields["value"], fields["value_type"], fields["is_encrypted"]) == ('{"size":1152921504606846976}', "json", False)
    updated = store.update(path, "text", origin=ORIGIN, is_encrypted=True)
    assert updated.version > written.version
    assert updated.created_at == written.created_at
    assert store.update(path, "plain again", origin=ORIGIN, is_encrypted=False).ever_secret
    assert store.delete(path, origin=ORIGIN) > updated.version
    for attempt in (
        lambda: store.read(path),
        lambda: store.update(path, 1, origin=ORIGIN),
        lambda: store.delete(path, origin=ORIGIN),
    ):
        with pytest.raises(NotFoundError):
            attempt()


def test_a_later_value_has_a_higher_version_even_after_a_delete(store: VaultKv1ConfigStore) -> None:
    path = fresh.path()
    versions = [store.create(path, 0, is_encrypted=False, origin=ORIGIN).version]
    versions += [store.update(path, number, origin=ORIGIN).version for number in range(5)]
    store.delete(path, origin=ORIGIN)
    time.sleep(0.002)  # the clock is the version
    versions.append(store.create(path, 0, is_encrypted=False, origin=ORIGIN).version)
    assert versions == sorted(set(versions))
    assert abs(store.read(path).updated_at - datetime.now(UTC)) < timedelta(seconds=60)


def test_creating_what_is_there_conflicts(store: VaultKv1ConfigStore) -> None:
    path = fresh.path()
    written = store.create(path, "first", is_encrypted=False, origin=ORIGIN)
    with pytest.raises(ConflictError) as caught:
        store.create(path, "second", is_encrypted=False, origin=ORIGIN)
    assert caught.value.actual == written.version


def test_what_needs_versions_is_refused_with_the_reason(store: VaultKv1ConfigStore) -> None:
    path = fresh.path()
    written = store.create(path, "first", is_encrypted=False, origin=ORIGIN)
    for attempt in (
        lambda: store.history(path, limit=5),
        lambda: store.rollback(path, 1, origin=ORIGIN),
        lambda: store.update(path, "x", origin=ORIGIN, expected_version=written.version),
        lambda: store.delete(path, origin=ORIGIN, expected_version=written.version),
    ):
        with pytest.raises(InvalidDocumentError, match=r"version 1 .*VAULT_KV_VERSION=2"):
            attempt()
    with pytest.raises(NotFoundError, match="only the latest"):
        store.read(path, 1)
    assert store.read(path) == written


def test_what_other_programs_wrote_is_read_and_replaced_only_on_request(store: VaultKv1ConfigStore, mount: Mount) -> None:
    lone, several = fresh.path(), fresh.path()
    mount.ask("POST", f"{mount.name}/{lone}", {"value": "by hand"})
    mount.ask("POST", f"{mount.name}/{several}", {"user": "app", "password": "s3cret"})
    assert (store.read(lone).value, store.read(lone).is_encrypted, store.read(lone).version) == ("by hand", True, 1)
    assert store.read(several).value == {"user": "app", "password": "s3cret"}
    assert store.update(lone, "mine", origin=ORIGIN).is_encrypted
    with pytest.raises(ConflictError):
        store.update(several, "mine", origin=ORIGIN)
    assert store.update(several, "mine", origin=ORIGIN, adopt=True).value == "mine"


def test_a_service_and_a_list_show_every_key(store: VaultKv1ConfigStore) -> None:
    service = fresh.name("svc")
    written = [
        store.create(fresh.path(key, service=service), key, is_encrypted=key == "b", origin=ORIGIN) for key in ("a", "b", "c")
    ]
    assert list(store.read_service("development", service).values()) == written
    page = store.list(ConfigSelector(services=frozenset((service,))), limit=2, offset=1)
    assert (list(page), page.total) == (written[1:], 3)


@settings(max_examples=40, deadline=None)
@given(value=json_values)
def test_any_json_value_comes_back_as_it_was(store: VaultKv1ConfigStore, value: Any) -> None:
    path = fresh.path()
    store.create(path, value, is_encrypted=True, origin=ORIGIN)
    assert fresh.text(store.read(path).value) == fresh.text(value)


def test_the_wrong_version_of_the_engine_is_noticed_before_anything_is_read_or_written(mount: Mount) -> None:
    with closing(mount.open(kv_version=2)) as store:
        for attempt in (lambda: store.read(PATH), lambda: store.create(PATH, 1, is_encrypted=False, origin=ORIGIN), store.ping):
            with pytest.raises(UnavailableError, match="VAULT_KV_VERSION"):
                attempt()
    with (
        fresh_mount(kv_version=2) as second,
        closing(second.open(kv_version=1)) as store,
        pytest.raises(UnavailableError, match="VAULT_KV_VERSION"),
    ):
        store.read(PATH)
