"""The contract of `FlagStore` for flags beyond their plain form: kept as they are, checked against each other."""

from __future__ import annotations

from typing import Any

import pytest

from configkit.errors import InvalidDocumentError
from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagMap
from configkit.ports import FlagStore
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN

PORT = "flags"

GERMANS = {"attribute": "country", "operator": "in", "values": ["DE", "AT"]}
WHOLE: dict[str, Any] = {
    "variants": {"control": {"colour": "blue", "n": [1, 2.5, None]}, "treatment": {"colour": "rot \U0001f534"}},
    "split": [{"variant": "treatment", "weight": 3}, {"variant": "control", "weight": 1}],
    "off_variant": "control",
    "targets": {"treatment": ["ann", "bob"], "control": ["jürgen"]},
    "rules": [
        {"name": "one", "conditions": [{"any": [GERMANS, {"all": [{**GERMANS, "negate": True}]}]}], "variant": "control"},
        {
            "conditions": [],
            "split": [{"variant": "control", "weight": 0}, {"variant": "treatment", "weight": 1}],
            "bucket_by": "org",
        },
        {"conditions": [GERMANS], "variant": "treatment", "percentage": 0.5, "salt": "s"},
    ],
    "schedule": {"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2027-01-01T02:00:00+02:00"},
    "salt": "shared",
    "bucket_by": "org",
    "tags": ["checkout", "q3"],
    "owner": "payments",
    "expires_at": "2026-12-24T18:00:00+01:00",
}
RAMP = {
    "is_enabled": True,
    "schedule": {"ramp": [{"at": "2026-01-01T00:00:00Z", "percentage": 5}, {"at": "2026-01-02T00:00:00Z", "percentage": 50}]},
}


def _put(store: FlagStore, **fields: Any) -> Flag:
    return store.create(fresh.flag(**fields), origin=ORIGIN)


@pytest.mark.parametrize("fields", [WHOLE, RAMP, {"kind": "segment", "rules": [{"conditions": [GERMANS], "variant": "on"}]}])
def test_a_flag_with_everything_comes_back_as_it_was(deployment: Deployment, fields: dict[str, Any]) -> None:
    wanted = fresh.flag(**fields)
    created = deployment.one.flags.create(wanted, origin=ORIGIN)
    assert created.extended() == wanted.extended()
    assert deployment.other.flags.read("staging", wanted.name) == created
    loaded = deployment.other.flags.load("staging")
    assert loaded is not None
    assert loaded.flags[wanted.name] == created


def test_a_plain_flag_becomes_another_and_plain_again(deployment: Deployment) -> None:
    flag = _put(deployment.one.flags, is_enabled=True, rollout_percentage=50, description="d")
    plain = {"rollout_percentage": None, **WHOLE}
    changed = deployment.one.flags.update("staging", flag.name, plain, origin=ORIGIN)
    assert deployment.other.flags.read("staging", flag.name) == changed
    assert changed.extended() == fresh.flag(**WHOLE).extended()
    again = deployment.one.flags.update("staging", flag.name, dict.fromkeys(WHOLE), origin=ORIGIN)
    assert again.extended() == {}
    assert deployment.other.flags.read("staging", flag.name) == again


def test_what_a_flag_depends_on_has_to_be_there_and_of_its_kind(deployment: Deployment) -> None:
    store = deployment.one.flags
    flag, segment = _put(store), _put(store, kind="segment")
    absent = fresh.name("absent")
    for wrong, pointer in (
        ({"prerequisites": [{"flag": absent}]}, "/prerequisites/0/flag"),
        ({"prerequisites": [{"flag": flag.name}, {"flag": segment.name}]}, "/prerequisites/1/flag"),
        ({"prerequisites": [{"flag": flag.name, "variants": ["on", "pink"]}]}, "/prerequisites/0/variants"),
        ({"rules": [_member(segment.name), _member(absent)]}, "/rules/1/conditions"),
        ({"rules": [_member(flag.name)]}, "/rules/0/conditions"),
    ):
        with pytest.raises(InvalidDocumentError) as caught:
            _put(store, **wrong)
        assert caught.value.pointer == pointer
    _put(store, prerequisites=[{"flag": flag.name, "variants": ["on"]}], rules=[_member(segment.name)])


def _member(segment: str) -> dict[str, Any]:
    return {"name": segment, "conditions": [{"operator": "in_segment", "values": [segment]}], "variant": "on"}


def test_flags_that_would_depend_on_each_other_are_refused_and_nothing_changes(deployment: Deployment) -> None:
    store = deployment.one.flags
    first = _put(store)
    second = _put(store, prerequisites=[{"flag": first.name}])
    third = _put(store, prerequisites=[{"flag": second.name}])
    with pytest.raises(InvalidDocumentError) as caught:
        store.update("staging", first.name, {"prerequisites": [{"flag": third.name}]}, origin=ORIGIN)
    assert caught.value.pointer == "/prerequisites/0/flag"
    for name in (first.name, second.name, third.name):
        assert name in caught.value.detail
    assert deployment.other.flags.read("staging", first.name) == first


def test_a_flag_that_others_depend_on_stays(deployment: Deployment) -> None:
    store = deployment.one.flags
    flag, segment = _put(store), _put(store, kind="segment")
    dependant = _put(store, prerequisites=[{"flag": flag.name}], rules=[_member(segment.name)])
    for name in (flag.name, segment.name):
        with pytest.raises(InvalidDocumentError, match=dependant.name):
            store.delete("staging", name, origin=ORIGIN)
        assert store.read("staging", name)
    store.delete("staging", dependant.name, origin=ORIGIN)
    store.delete("staging", flag.name, origin=ORIGIN)
    store.delete("staging", segment.name, origin=ORIGIN)


def test_a_variant_that_others_depend_on_stays(deployment: Deployment) -> None:
    store = deployment.one.flags
    variants = {"light": "#fff", "dark": "#000", "red": "#f00"}
    flag = _put(store, variants=variants, default_variant="light")
    dependant = _put(store, prerequisites=[{"flag": flag.name, "variants": ["light", "dark"]}])
    with pytest.raises(InvalidDocumentError, match=f"{dependant.name} depends on its variant dark") as caught:
        store.update("staging", flag.name, {"variants": {"light": "#fff"}}, origin=ORIGIN)
    assert caught.value.pointer == "/variants"
    assert store.read("staging", flag.name) == flag
    store.update("staging", flag.name, {"variants": {"light": "#eee", "dark": "#111"}}, origin=ORIGIN)
    store.update("staging", dependant.name, {"prerequisites": None}, origin=ORIGIN)
    store.update("staging", flag.name, {"variants": None, "default_variant": None}, origin=ORIGIN)


def test_what_has_changed_since_a_version_leads_to_the_set_as_it_is(deployment: Deployment) -> None:
    store = deployment.one.flags
    kept, changed, gone, back = (_put(store) for _ in range(4))
    before = deployment.other.flags.load("staging")
    assert before is not None
    store.update("staging", changed.name, {"is_enabled": True}, origin=ORIGIN)
    new = _put(store, **WHOLE)
    for name in (gone.name, back.name):
        store.delete("staging", name, origin=ORIGIN)
    again = _put(store, name=back.name, description="again")
    told = deployment.other.flags.changes("staging", before.version)
    assert told is not None
    assert (told.since, told.version, told.gone) == (before.version, before.version + 5, frozenset((gone.name,)))
    assert told.changed == {flag.name: flag for flag in (store.read("staging", changed.name), new, again)}
    after = told.applied_to(before.flags)
    assert after == deployment.other.flags.load("staging")
    assert kept.name in (after.flags if after else ())


def test_nothing_has_changed_since_the_present_version(deployment: Deployment) -> None:
    _put(deployment.one.flags)
    loaded = deployment.other.flags.load("staging")
    assert loaded is not None
    told = deployment.other.flags.changes("staging", loaded.version)
    assert told is not None
    assert (told.version, told.changed, told.gone) == (loaded.version, {}, frozenset())
    assert told.applied_to(loaded.flags) == loaded


def test_a_version_that_never_was_cannot_be_told_from(deployment: Deployment) -> None:
    flag = _put(deployment.one.flags)
    assert deployment.other.flags.changes("staging", flag.version + 1000) is None


def test_changes_to_another_set_than_the_stores_are_noticed(deployment: Deployment) -> None:
    one, two = _put(deployment.one.flags), _put(deployment.one.flags)
    before = deployment.other.flags.load("staging")
    assert before is not None
    deployment.one.flags.update("staging", one.name, {"is_enabled": True}, origin=ORIGIN)
    told = deployment.other.flags.changes("staging", before.version)
    assert told is not None
    assert told.applied_to(FlagMap({name: flag for name, flag in before.flags.items() if name != two.name})) is None
