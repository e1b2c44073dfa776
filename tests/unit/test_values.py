import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configkit import values
from configkit.errors import InvalidDocumentError

TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON.filter(lambda value: value is not None and value != values.MASK))
def test_a_value_survives_its_text(value: object) -> None:
    assert values.decode(values.encode(value)) == value


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        None,
        values.MASK,
        math.nan,
        math.inf,
        [math.inf],
        {"a": -math.inf},
        "\ud800",
        {"\udfff": 1},
        {1: 2},
        10**301,
        b"bytes",
        {"a": {1, 2}},
        nested(65),
        nested(100_000),
        "x" * (512 * 1024),
        "é" * (256 * 1024),
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_value_is_refused_without_being_shown(value: object) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        values.encode(value)
    assert caught.value.pointer == "/value"
    assert len(str(caught.value)) < 200


def test_the_largest_and_deepest_values_pass() -> None:
    assert len(values.encode("x" * (512 * 1024 - 2))) == 512 * 1024
    values.encode(nested(64))
    values.encode(10**299)


def test_a_copy_shares_nothing_that_can_be_changed() -> None:
    value = {"a": [1, {"b": []}]}
    other = values.copy(value)
    other["a"][1]["b"].append(1)
    assert value == {"a": [1, {"b": []}]}
