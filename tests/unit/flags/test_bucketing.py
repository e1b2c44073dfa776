import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmh3 import mmh3_32_uintdigest

from configkit.flags import bucketing
from configkit.flags.percentages import TOTAL
from tests.unit.flags import cbor

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "flags.json").read_text(encoding="utf-8"))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.mark.parametrize("vector", VECTORS["buckets"], ids=lambda each: f"{each['salt'][:12]}-{each['key'][:12]!a}")
def test_hash_and_bucket_are_those_of_flagd(vector: dict[str, Any]) -> None:
    prefix = bucketing.salt_prefix(vector["salt"])
    assert bucketing.hash_key(prefix, vector["key"]) == vector["hash"]
    assert bucketing.bucket(vector["salt"], vector["key"]) == vector["bucket"]
    if "cbor" in vector:
        assert cbor.encode([vector["salt"], vector["key"]]).hex() == vector["cbor"]


def test_the_golden_data_covers_each_length_of_header() -> None:
    lengths = {len(vector["key"].encode()) for vector in VECTORS["buckets"]}
    assert {23, 24, 255, 256, 4096} <= lengths


@given(salt=texts, key=texts)
@settings(max_examples=200, deadline=None)
def test_what_is_hashed_is_deterministic_cbor(salt: str, key: str) -> None:
    assert bucketing.hash_key(bucketing.salt_prefix(salt), key) == mmh3_32_uintdigest(cbor.encode([salt, key]), 0)


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 4096, 65535])
def test_a_header_is_the_shortest_one(length: int) -> None:
    assert bucketing.text_header(length) == cbor.encode("x" * length)[: -length or None]


def test_salt_and_key_do_not_run_into_each_other() -> None:
    assert bucketing.bucket("a", "bc", 1 << 31) != bucketing.bucket("ab", "c", 1 << 31)


@given(buckets=st.integers(0, TOTAL), hashed=st.integers(0, 2**32 - 1))
@settings(max_examples=500, deadline=None)
def test_comparing_the_hash_is_comparing_the_bucket(buckets: int, hashed: int) -> None:
    assert (hashed < bucketing.hash_threshold(buckets)) == ((hashed * TOTAL) >> 32 < buckets)


@given(buckets=st.integers(1, TOTAL), total=st.integers(1, 2**31 - 1))
@settings(max_examples=300, deadline=None)
def test_the_threshold_is_exact_at_its_edge(buckets: int, total: int) -> None:
    buckets = min(buckets, total)
    threshold = bucketing.hash_threshold(buckets, total)
    assert ((threshold - 1) * total) >> 32 < buckets <= (threshold * total) >> 32


@given(thousandths=st.integers(0, TOTAL))
def test_every_step_of_a_percentage_is_one_bucket(thousandths: int) -> None:
    assert bucketing.buckets_of(thousandths / 1000) == thousandths


@given(salt=st.from_regex(r"[a-z][a-z0-9_.-]{0,20}[a-z0-9]", fullmatch=True), thousandths=st.integers(1, TOTAL - 1))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_share_of_users_is_as_large_as_the_percentage_says(salt: str, thousandths: int) -> None:
    users, share = 4000, thousandths / TOTAL
    hits = sum(bucketing.bucket(salt, f"user-{number}") < thousandths for number in range(users))
    assert abs(hits - users * share) <= 4 * math.sqrt(users * share * (1 - share)) + 1


@given(
    salts=st.lists(st.from_regex(r"[a-z][a-z0-9_.-]{0,20}[a-z0-9]", fullmatch=True), min_size=2, max_size=2, unique=True),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_two_salts_divide_users_independently(salts: list[str]) -> None:
    users, half = 4000, TOTAL // 2
    both = sum(all(bucketing.bucket(salt, f"user-{number}") < half for salt in salts) for number in range(users))
    assert abs(both - users / 4) <= 4 * math.sqrt(users * 0.25 * 0.75)
