"""The contract of `FlagStore`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configkit.errors import ConflictError, InvalidDocumentError, NotFoundError
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


def test_a_created_flag_has_the_counter_as_version_and_the_stores_times(deployment: Deployment) -> None:
    before = _set(deployment.one.flags).version
    wanted = fresh.flag(
        description="the new face", is_enabled=True, rollout_percentage=12.345, target_users=("u2", "u1"), version=99
    )
    created = deployment.one.flags.create(wanted, origin=ORIGIN)
    assert created.version == before + 1
    assert fresh.is_recent(created.created_at)
    assert created.updated_at == created.created_at
    assert (created.name, created.environment, created.description) == (wanted.name, "staging", "the new face")
    assert (created.is_enabled, created.rollout_percentage, created.target_users) == (True, 12.345, ("u2", "u1"))
    assert deployment.other.flags.read("staging", wanted.name) == created


def test_a_plain_flag_is_off_for_everybody(deployment: Deployment) -> None:
    created = deployment.one.flags.create(fresh.flag(), origin=ORIGIN)
    assert (created.description, created.is_enabled, created.rollout_percentage, created.target_users) == ("", False, 0, ())


@settings(max_examples=40, deadline=None)
@given(
    description=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=50),
    is_enabled=st.booleans(),
    thousandths=st.integers(0, 100_000),
    users=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20), max_size=5
    ),
)
def test_any_flag_comes_back_as_it_was(
    deployment: Deployment, description: str, is_enabled: bool, thousandths: int, users: list[str]
) -> None:
    wanted = fresh.flag(
        description=description, is_enabled=is_enabled, rollout_percentage=thousandths / 1000, target_users=tuple(users)
    )
    created = deployment.one.flags.create(wanted, origin=ORIGIN)
    read = deployment.other.flags.read("staging", wanted.name)
    assert read == created
    assert (read.description, read.is_enabled) == (description, is_enabled)
    assert (read.rollout_percentage, read.target_users) == (thousandths / 1000, tuple(dict.fromkeys(users)))


@pytest.mark.parametrize(
    "users",
    [
        [f"{number:05d}" for number in range(96_000)],
        ["🚀" * 1023 + chr(0x4E00 + number) for number in range(191)],
        ["\x01" * 1023 + chr(0x4E00 + number) for number in range(127)],
    ],
    ids=["many", "four bytes", "escapes"],
)
def test_a_flag_with_as_many_users_as_are_allowed_comes_back_as_it_was(deployment: Deployment, users: list[str]) -> None:
    store = deployment.one.flags
    flag = store.create(fresh.flag(target_users=tuple(users), description="\x01" * 4096), origin=ORIGIN)
    assert deployment.other.flags.read("staging", flag.name).target_users == tuple(users)
    changed = store.update("staging", flag.name, {"target_users": users[::-1]}, origin=ORIGIN)
    assert changed.target_users == tuple(users[::-1])
    with pytest.raises(InvalidDocumentError):
        store.update("staging", flag.name, {"target_users": [*users, *(user + "+" for user in users[:5000])]}, origin=ORIGIN)
    assert store.read("staging", flag.name) == changed
    store.delete("staging", flag.name, origin=ORIGIN)


@pytest.mark.parametrize("end", ["", "Z_", ".b-c_d", "evaluate", "x" * 220], ids=["plain", "underscore", "dots", "word", "long"])
def test_a_flags_name_may_be_any_key(deployment: Deployment, end: str) -> None:
    flag = deployment.one.flags.create(fresh.flag(name=f"{fresh.name('flag')}{end}"), origin=ORIGIN)
    assert deployment.other.flags.read("staging", flag.name) == flag
    assert deployment.other.flags.update("staging", flag.name, {"is_enabled": True}, origin=ORIGIN).is_enabled


@pytest.mark.parametrize("name", ["evaluate", "batch", "9"])
def test_a_flag_may_be_called_like_a_part_of_an_address(deployment: Deployment, name: str) -> None:
    flag = deployment.one.flags.create(fresh.flag("production", name=name), origin=ORIGIN)
    assert deployment.other.flags.read("production", name) == flag
    deployment.one.flags.delete("production", name, origin=ORIGIN)


def test_creating_a_flag_that_is_there_conflicts_and_changes_nothing(deployment: Deployment) -> None:
    created = deployment.one.flags.create(fresh.flag(description="first"), origin=ORIGIN)
    counter = _set(deployment.one.flags).version
    with pytest.raises(ConflictError) as caught:
        deployment.other.flags.create(fresh.flag(name=created.name, description="second"), origin=ORIGIN)
    assert caught.value.actual == created.version
    assert deployment.one.flags.read("staging", created.name) == created
    assert _set(deployment.one.flags).version == counter


def test_the_same_name_is_another_flag_in_another_environment(deployment: Deployment) -> None:
    name = fresh.name("flag")
    for environment in ("development", "staging"):
        deployment.one.flags.create(fresh.flag(environment, name=name, description=environment), origin=ORIGIN)
    assert deployment.one.flags.read("development", name).description == "development"
    assert deployment.one.flags.read("staging", name).description == "staging"
    with pytest.raises(NotFoundError):
        deployment.one.flags.read("production", name)


def test_every_change_of_an_environment_adds_one_to_its_counter_and_to_no_other(deployment: Deployment) -> None:
    store, other = deployment.one.flags, deployment.other.flags
    staging, production = _set(store).version, _set(store, "production").version
    first = store.create(fresh.flag(), origin=ORIGIN)
    second = other.create(fresh.flag(), origin=ORIGIN)
    changed = store.update("staging", first.name, {"is_enabled": True}, origin=ORIGIN)
    other.delete("staging", second.name, origin=ORIGIN)
    last = store.create(fresh.flag(), origin=ORIGIN)
    assert [flag.version for flag in (first, second, changed, last)] == [staging + step for step in (1, 2, 3, 5)]
    assert _set(store).version == _set(other).version == staging + 5
    assert _set(store, "production").version == production


def test_an_absent_field_stays_and_none_resets_and_a_list_replaces(deployment: Deployment) -> None:
    store = deployment.one.flags
    flag = store.create(
        fresh.flag(description="old", is_enabled=True, rollout_percentage=50, target_users=("a", "b")), origin=ORIGIN
    )
    changed = store.update("staging", flag.name, {"target_users": ["c"], "description": None}, origin=ORIGIN)
    assert (changed.target_users, changed.description) == (("c",), "")
    assert (changed.is_enabled, changed.rollout_percentage) == (True, 50)
    assert changed.created_at == flag.created_at
    assert changed.updated_at is not None
    assert flag.updated_at is not None
    assert changed.updated_at >= flag.updated_at
    assert deployment.other.flags.read("staging", flag.name) == changed


def test_updating_with_the_flags_version_is_done_and_with_another_conflicts(deployment: Deployment) -> None:
    store = deployment.one.flags
    flag = store.create(fresh.flag(), origin=ORIGIN)
    changed = deployment.other.flags.update(
        "staging", flag.name, {"is_enabled": True}, origin=ORIGIN, expected_version=flag.version
    )
    counter = _set(store).version
    with pytest.raises(ConflictError) as caught:
        store.update("staging", flag.name, {"is_enabled": False}, origin=ORIGIN, expected_version=flag.version)
    assert (caught.value.expected, caught.value.actual) == (flag.version, changed.version)
    assert store.read("staging", flag.name) == changed
    assert _set(store).version == counter


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"rollout_percentage": 100.001}, "/rollout_percentage"),
        ({"rollout_percentage": -1}, "/rollout_percentage"),
        ({"rollout_percentage": 0.0001}, "/rollout_percentage"),
        ({"rollout_percentage": "50"}, "/rollout_percentage"),
        ({"rollout_percentage": True}, "/rollout_percentage"),
        ({"is_enabled": "yes"}, "/is_enabled"),
        ({"target_users": "u1"}, "/target_users"),
        ({"target_users": ["ok", ""]}, "/target_users/1"),
        ({"description": "a \x00 NUL"}, "/description"),
        ({"name": "other"}, "/name"),
        ({"environment": "production"}, "/environment"),
        ({"version": 7}, "/version"),
        ({"is_enabled": True, "no_such_field": 1}, "/no_such_field"),
    ],
    ids=str,
)
def test_a_change_that_is_not_allowed_is_refused_and_nothing_changes(
    deployment: Deployment, changes: dict[str, Any], pointer: str
) -> None:
    store = deployment.one.flags
    flag = store.create(fresh.flag(rollout_percentage=5), origin=ORIGIN)
    with pytest.raises(InvalidDocumentError) as caught:
        store.update("staging", flag.name, changes, origin=ORIGIN)
    assert caught.value.pointer == pointer
    assert store.read("staging", flag.name) == flag
    assert _set(store).version == flag.version


def test_what_is_not_there_is_not_found(deployment: Deployment) -> None:
    store = deployment.one.flags
    name = fresh.name("flag")
    for attempt in (
        lambda: store.read("staging", name),
        lambda: store.update("staging", name, {"is_enabled": True}, origin=ORIGIN),
        lambda: store.update("staging", name, {"is_enabled": True}, origin=ORIGIN, expected_version=1),
        lambda: store.delete("staging", name, origin=ORIGIN),
        lambda: store.delete("staging", name, origin=ORIGIN, expected_version=1),
    ):
        counter = _set(store).version
        with pytest.raises(NotFoundError):
            attempt()
        assert _set(store).version == counter


def test_a_deleted_flag_is_gone_from_reads_sets_and_lists(deployment: Deployment) -> None:
    store = deployment.one.flags
    flag = store.create(fresh.flag(), origin=ORIGIN)
    store.delete("staging", flag.name, origin=ORIGIN)
    with pytest.raises(NotFoundError):
        deployment.other.flags.read("staging", flag.name)
    assert flag.name not in _set(deployment.other.flags).flags
    assert flag.name not in {listed.name for listed in store.list(environments=frozenset(("staging",)), limit=500)}


def test_deleting_another_version_than_expected_conflicts_and_deletes_nothing(deployment: Deployment) -> None:
    store = deployment.one.flags
    flag = store.create(fresh.flag(), origin=ORIGIN)
    changed = store.update("staging", flag.name, {"is_enabled": True}, origin=ORIGIN)
    with pytest.raises(ConflictError) as caught:
        deployment.other.flags.delete("staging", flag.name, origin=ORIGIN, expected_version=flag.version)
    assert (caught.value.expected, caught.value.actual) == (flag.version, changed.version)
    assert store.read("staging", flag.name) == changed
    store.delete("staging", flag.name, origin=ORIGIN, expected_version=changed.version)
    assert flag.name not in _set(store).flags


def test_a_flag_can_be_created_again_after_its_deletion(deployment: Deployment) -> None:
    store = deployment.one.flags
    flag = store.create(fresh.flag(description="old"), origin=ORIGIN)
    store.delete("staging", flag.name, origin=ORIGIN)
    again = store.create(fresh.flag(name=flag.name), origin=ORIGIN)
    assert (again.version, again.description) == (flag.version + 2, "")


def test_clients_that_compare_and_set_a_flag_lose_no_update(deployment: Deployment) -> None:
    flag = deployment.one.flags.create(fresh.flag(rollout_percentage=0), origin=ORIGIN)
    stores = (deployment.one.flags, deployment.other.flags)

    def raise_share(number: int) -> None:
        store = stores[number % 2]
        while True:
            there = store.read("staging", flag.name)
            changes = {"rollout_percentage": there.rollout_percentage + 1}
            try:
                store.update("staging", flag.name, changes, origin=ORIGIN, expected_version=there.version)
            except ConflictError:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(raise_share, range(20)))
    final = deployment.one.flags.read("staging", flag.name)
    assert (final.rollout_percentage, final.version) == (20, flag.version + 20)
