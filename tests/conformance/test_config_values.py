"""The contract of `ConfigStore`: every JSON value comes back as it was, and nothing else gets in."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configkit.errors import InvalidDocumentError, NotFoundError
from configkit.values import MASK
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN

PORT = "config"

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**300) + 1, 10**300 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
).filter(lambda value: value is not None and value != MASK)


@settings(max_examples=60, deadline=None)
@given(value=json_values, is_encrypted=st.booleans())
def test_any_json_value_comes_back_as_it_was(deployment: Deployment, value: Any, is_encrypted: bool) -> None:
    path = fresh.path()
    written = deployment.one.config.create(path, value, is_encrypted=is_encrypted, origin=ORIGIN)
    if not written.masked:
        assert fresh.text(written.value) == fresh.text(value)
    assert fresh.text(deployment.other.config.read(path).value) == fresh.text(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        0,
        -0.0,
        1.0,
        False,
        [],
        {},
        [None],
        {"": None},
        [[[]]],
        2**53 + 1,
        -(2**64),
        10**299,
        5e-324,
        1.7976931348623157e308,
        0.1,
        "\x00\x1f\x7f\u2028\ufeff\U0001f680",
        '"\\"',
        "null",
        "********* is not the mask",
        {"kelvin": "\u212a", "k": "K"},
        {"é": 1, "e\u0301": 2},
    ],
    ids=ascii,
)
def test_values_that_are_easily_harmed_come_back_as_they_were(deployment: Deployment, value: Any) -> None:
    path = fresh.path()
    deployment.one.config.create(path, "before", is_encrypted=False, origin=ORIGIN)
    assert fresh.text(deployment.one.config.update(path, value, origin=ORIGIN).value) == fresh.text(value)
    read = deployment.other.config.read(path).value
    assert fresh.text(read) == fresh.text(value)


@pytest.mark.parametrize(
    "value",
    ["x" * (512 * 1024 - 2), "ü" * (256 * 1024 - 1), "🚀" * (128 * 1024 - 1), "\x00" * 87_381, [0] * 262_143],
    ids=["ascii", "two bytes", "four bytes", "escapes", "list"],
)
def test_a_value_of_the_greatest_size_comes_back_as_it_was(deployment: Deployment, value: Any) -> None:
    path = fresh.path()
    deployment.one.config.create(path, value, is_encrypted=True, origin=ORIGIN)
    assert deployment.other.config.read(path).value == value


def test_a_service_of_large_values_is_read_whole(deployment: Deployment) -> None:
    service = fresh.name("svc")
    value = "x" * (512 * 1024 - 2)
    for number in range(8):
        deployment.one.config.create(fresh.path(f"k{number}", service=service), value, is_encrypted=False, origin=ORIGIN)
    read = deployment.other.config.read_service("development", service)
    assert len(read) == 8
    assert all(document.value == value for document in read.values())


def test_a_value_of_the_greatest_depth_comes_back_as_it_was(deployment: Deployment) -> None:
    path = fresh.path()
    deployment.one.config.create(path, _nested(64), is_encrypted=False, origin=ORIGIN)
    assert deployment.one.config.read(path).value == _nested(64)


def test_tuples_and_other_mappings_are_lists_and_objects(deployment: Deployment) -> None:
    path = fresh.path()
    value = {"pair": (1, (2,)), "frozen": MappingProxyType({"a": MappingProxyType({})})}
    written = deployment.one.config.create(path, value, is_encrypted=False, origin=ORIGIN)
    assert written.value == {"pair": [1, [2]], "frozen": {"a": {}}}
    assert deployment.other.config.read(path).value == written.value


def _nested(depth: int) -> Any:
    value: Any = "core"
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    return value


INVALID = {
    "null": None,
    "the mask": MASK,
    "not a number": float("nan"),
    "infinity": [float("inf")],
    "a lone surrogate": "\ud800",
    "a lone surrogate as a key": {"\udfff": 1},
    "a key that is no text": {1: "one"},
    "a huge integer": 10**300,
    "bytes": b"bytes",
    "a set": {1, 2},
    "an object": {"here": object()},
    "too deep": _nested(65),
    "too large": "x" * (512 * 1024),
}


@pytest.mark.parametrize("reason", INVALID)
def test_what_is_no_value_is_refused_and_nothing_changes(deployment: Deployment, reason: str) -> None:
    path = fresh.path()
    store = deployment.one.config
    with pytest.raises(InvalidDocumentError) as caught:
        store.create(path, INVALID[reason], is_encrypted=False, origin=ORIGIN)
    assert caught.value.pointer == "/value"
    with pytest.raises(NotFoundError):
        store.read(path)
    written = store.create(path, "good", is_encrypted=False, origin=ORIGIN)
    with pytest.raises(InvalidDocumentError):
        store.update(path, INVALID[reason], origin=ORIGIN)
    assert store.read(path) == written


def test_what_is_read_is_the_callers_own(deployment: Deployment) -> None:
    path = fresh.path()
    value = {"list": [1, 2], "map": {"a": 1}}
    store = deployment.one.config
    given_away = {"list": [1, 2], "map": {"a": 1}}
    written = store.create(path, given_away, is_encrypted=False, origin=ORIGIN)
    given_away["list"] = []
    for handed_out in (
        written.value,
        store.read(path).value,
        store.read(path, 1).value,
        store.read_service(path.environment, path.service_name)[path.key].value,
        store.list(fresh.only(path.service_name), limit=1).items[0].value,
        store.history(path, limit=1).items[0].value,
    ):
        assert handed_out == value
        handed_out["list"].append("harm")
        handed_out["map"].clear()
    assert store.read(path).value == value
    assert store.rollback(path, 1, origin=ORIGIN).value == value
