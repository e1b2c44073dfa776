"""What configkit writes is read with plain requests, and what plain requests write is read by configkit."""

from __future__ import annotations

import pytest

from configkit.backends.vault.config import VaultConfigStore
from configkit.errors import ConflictError, NotFoundError
from configkit.models import ConfigPath, Origin
from tests.vaults import Mount

ORIGIN = Origin("ann")
PATH = ConfigPath("development", "asr-service", "model_path")


def put(mount: Mount, path: ConfigPath, **fields: object) -> None:
    assert mount.ask("POST", f"{mount.name}/data/{path}", {"data": fields}).status == 200


def test_a_written_value_is_found_where_and_as_the_convention_says(store: VaultConfigStore, mount: Mount) -> None:
    store.create(PATH, "/models/asr", is_encrypted=False, origin=ORIGIN, comment="the first")
    answer = mount.ask("GET", f"{mount.name}/data/development/asr-service/model_path").body["data"]
    assert answer["data"] == {"value": "/models/asr", "is_encrypted": False, "changed_by": "ann", "comment": "the first"}
    assert answer["metadata"]["version"] == 1
    store.update(PATH, {"size": 2**60}, origin=ORIGIN, is_encrypted=True)
    answer = mount.ask("GET", f"{mount.name}/data/development/asr-service/model_path").body["data"]
    assert answer["data"] == {
        "value": '{"size":1152921504606846976}', "value_type": "json", "is_encrypted": True, "changed_by": "ann"
    }  # fmt: skip
    assert answer["metadata"]["custom_metadata"]["configkit_ever_secret"] == "true"


def test_a_new_key_keeps_a_hundred_versions(store: VaultConfigStore, mount: Mount) -> None:
    store.create(PATH, 1, is_encrypted=False, origin=ORIGIN)
    assert mount.ask("GET", f"{mount.name}/metadata/{PATH}").body["data"]["max_versions"] == 100


def test_a_lone_value_written_by_a_plain_request_is_a_secret_string(store: VaultConfigStore, mount: Mount) -> None:
    put(mount, PATH, value="/by/hand")
    read = store.read(PATH)
    assert (read.value, read.version, read.is_encrypted, read.ever_secret) == ("/by/hand", 1, True, True)
    assert (read.changed_by, read.comment) == (None, None)
    assert store.read_service("development", "asr-service") == {"model_path": read}
    written = store.update(PATH, "/by/configkit", origin=ORIGIN)
    assert (written.version, written.is_encrypted) == (2, True)


def test_a_secret_of_several_fields_is_one_object_and_replaced_only_on_request(store: VaultConfigStore, mount: Mount) -> None:
    put(mount, PATH, user="app", password="s3cret", port=5432)
    read = store.read(PATH)
    assert (read.value, read.is_encrypted) == ({"user": "app", "password": "s3cret", "port": 5432}, True)
    with pytest.raises(ConflictError) as caught:
        store.update(PATH, "mine", origin=ORIGIN)
    assert caught.value.actual == 1
    assert "s3cret" not in str(caught.value)
    assert mount.ask("GET", f"{mount.name}/data/{PATH}").body["data"]["data"]["user"] == "app"
    adopted = store.update(PATH, "mine", origin=ORIGIN, adopt=True)
    assert (adopted.version, adopted.value, adopted.is_encrypted) == (2, "mine", True)
    back = store.rollback(PATH, 1, origin=ORIGIN)
    assert (back.value, back.is_encrypted) == (read.value, True)


def test_going_back_does_not_replace_what_another_program_wrote(store: VaultConfigStore, mount: Mount) -> None:
    store.create(PATH, "mine", is_encrypted=False, origin=ORIGIN)
    put(mount, PATH, user="app", password="s3cret")
    with pytest.raises(ConflictError):
        store.rollback(PATH, 1, origin=ORIGIN)
    assert store.read(PATH).version == 2


def test_overwriting_a_plain_value_by_hand_makes_every_version_secret(store: VaultConfigStore, mount: Mount) -> None:
    store.create(PATH, "plain", is_encrypted=False, origin=ORIGIN)
    put(mount, PATH, value="unmarked")
    assert [store.read(PATH, version).ever_secret for version in (1, 2)] == [True, True]
    assert all(version.ever_secret for version in store.history(PATH, limit=1, offset=1))
    store.update(PATH, "plain again", origin=ORIGIN, is_encrypted=False)
    assert [store.read(PATH, version).ever_secret for version in (1, 2, 3)] == [True, True, True]


def test_a_key_adopted_from_another_program_keeps_its_birthday_and_more_versions(store: VaultConfigStore, mount: Mount) -> None:
    for number in range(3):
        put(mount, PATH, value=str(number))
    metadata = mount.ask("GET", f"{mount.name}/metadata/{PATH}").body["data"]
    assert metadata["max_versions"] == 0
    before = store.read(PATH)
    assert before.created_at == store.read(PATH, 1).updated_at
    after = store.update(PATH, "adopted", origin=ORIGIN)
    assert after.created_at == before.created_at == store.read(PATH).created_at == store.history(PATH, limit=1).items[0].created_at
    assert mount.ask("GET", f"{mount.name}/metadata/{PATH}").body["data"]["max_versions"] == 100


def test_what_an_operator_set_on_a_key_stays(store: VaultConfigStore, mount: Mount) -> None:
    put(mount, PATH, value="1")
    mount.ask("POST", f"{mount.name}/metadata/{PATH}", {"max_versions": 7, "custom_metadata": {"owner": "speech"}})
    store.update(PATH, "2", origin=ORIGIN, is_encrypted=True)
    metadata = mount.ask("GET", f"{mount.name}/metadata/{PATH}").body["data"]
    assert (metadata["max_versions"], metadata["custom_metadata"]["owner"]) == (7, "speech")


def test_what_is_deleted_by_hand_is_deleted_and_what_is_undeleted_is_back(store: VaultConfigStore, mount: Mount) -> None:
    store.create(PATH, "first", is_encrypted=False, origin=ORIGIN)
    assert mount.ask("DELETE", f"{mount.name}/data/{PATH}").status == 204
    with pytest.raises(NotFoundError) as caught:
        store.read(PATH)
    assert (caught.value.deleted, caught.value.version) == (True, 1)
    mount.ask("POST", f"{mount.name}/undelete/{PATH}", {"versions": [1]})
    assert store.read(PATH).value == "first"


def test_a_destroyed_version_is_gone_and_the_numbers_go_on(store: VaultConfigStore, mount: Mount) -> None:
    store.create(PATH, "first", is_encrypted=False, origin=ORIGIN)
    mount.ask("PUT", f"{mount.name}/destroy/{PATH}", {"versions": [1]})
    with pytest.raises(NotFoundError) as caught:
        store.read(PATH)
    assert (caught.value.deleted, caught.value.version) == (True, 1)
    assert store.history(PATH, limit=5).items[0].deleted
    assert store.create(PATH, "second", is_encrypted=False, origin=ORIGIN).version == 2


def test_a_key_whose_metadata_were_removed_begins_anew(store: VaultConfigStore, mount: Mount) -> None:
    store.create(PATH, "first", is_encrypted=True, origin=ORIGIN)
    store.update(PATH, "second", origin=ORIGIN)
    assert mount.ask("DELETE", f"{mount.name}/metadata/{PATH}").status == 204
    with pytest.raises(NotFoundError) as caught:
        store.read(PATH)
    assert not caught.value.deleted
    anew = store.create(PATH, "anew", is_encrypted=False, origin=ORIGIN)
    assert (anew.version, anew.ever_secret) == (1, False)
    assert store.delete(PATH, origin=ORIGIN) == 1


def test_a_deletion_that_lies_ahead_is_no_deletion_yet(store: VaultConfigStore, mount: Mount) -> None:
    mount.ask("POST", f"{mount.name}/metadata/{PATH}", {"delete_version_after": "1h"})
    put(mount, PATH, value="for an hour")
    assert store.read(PATH).value == "for an hour"
    assert [version.deleted for version in store.history(PATH, limit=5)] == [False]
    assert store.delete(PATH, origin=ORIGIN) == 1


def test_a_key_that_was_begun_and_never_written_is_not_there(store: VaultConfigStore, mount: Mount) -> None:
    mount.ask("POST", f"{mount.name}/metadata/{PATH}", {"max_versions": 100})
    for attempt in (lambda: store.read(PATH), lambda: store.history(PATH, limit=5), lambda: store.delete(PATH, origin=ORIGIN)):
        with pytest.raises(NotFoundError) as caught:
            attempt()
        assert not caught.value.deleted
    assert store.read_service("development", "asr-service") == {}
    assert store.create(PATH, 1, is_encrypted=False, origin=ORIGIN).version == 1


def test_a_deletion_that_was_claimed_and_never_done_is_done_by_whoever_comes_next(store: VaultConfigStore, mount: Mount) -> None:
    written = store.create(PATH, 1, is_encrypted=False, origin=ORIGIN)
    claim = {"version": "1", "created_time": written.updated_at.isoformat()}
    mount.ask("POST", f"{mount.name}/data/development/asr-service/.deletions/model_path", {"data": claim})
    with pytest.raises(NotFoundError):
        store.delete(PATH, origin=ORIGIN)
    with pytest.raises(NotFoundError) as caught:
        store.read(PATH)
    assert (caught.value.deleted, caught.value.version) == (True, 1)


def test_claims_of_deletions_are_no_keys(store: VaultConfigStore, mount: Mount) -> None:
    store.create(PATH, 1, is_encrypted=False, origin=ORIGIN)
    other = ConfigPath("development", "asr-service", "other")
    store.create(other, 1, is_encrypted=False, origin=ORIGIN)
    store.delete(PATH, origin=ORIGIN)
    listed = mount.ask("LIST", f"{mount.name}/metadata/development/asr-service").body["data"]["keys"]
    assert sorted(listed) == [".deletions/", "model_path", "other"]
    assert list(store.read_service("development", "asr-service")) == ["other"]
