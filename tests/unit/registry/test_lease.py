"""Leases: pure decisions over boot id and monotonic time."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configkit.errors import InvalidDocumentError
from configkit.registry.lease import boot_id, is_alive, lease_seconds

clock = st.floats(min_value=0, max_value=1e8)
length = st.floats(min_value=5, max_value=3600)


@given(now=clock, ttl=length, share=st.floats(min_value=0.001, max_value=1))
def test_a_lease_runs_until_its_end_in_its_own_boot_only(now: float, ttl: float, share: float) -> None:
    end = now + ttl * share
    assert is_alive(end, "a", ttl, now_mono=now, now_boot="a")
    assert not is_alive(end, "a", ttl, now_mono=now, now_boot="b")


@given(now=clock, ttl=length, past=st.floats(min_value=0, max_value=1e6))
def test_a_lease_that_reached_its_end_is_dead(now: float, ttl: float, past: float) -> None:
    assert not is_alive(now - past, "a", ttl, now_mono=now, now_boot="a")


@given(now=clock, ttl=length, beyond=st.floats(min_value=1.01, max_value=1e8))
def test_a_lease_that_ends_later_than_its_whole_length_is_of_another_boot(now: float, ttl: float, beyond: float) -> None:
    assert not is_alive(now + ttl + beyond, "unknown", ttl, now_mono=now, now_boot="unknown")


def test_a_lease_of_no_number_is_dead() -> None:
    assert not is_alive(math.nan, "a", 5, now_mono=1, now_boot="a")


def test_the_boot_id_is_the_kernels_where_it_tells_one() -> None:
    kernels = Path("/proc/sys/kernel/random/boot_id")
    assert boot_id() == (kernels.read_text(encoding="ascii").strip() if kernels.exists() else "unknown")


@pytest.mark.parametrize(
    ("ttl", "checked", "seconds"), [(None, False, 30.0), (None, True, None), (5, True, 5.0), (3600, False, 3600.0)]
)
def test_the_lease_is_what_was_asked_or_the_default(ttl: float | None, checked: bool, seconds: float | None) -> None:
    assert lease_seconds(ttl, checked) == seconds


@pytest.mark.parametrize("ttl", [4.999, 3600.1, 0, -1, math.nan, math.inf, True, "30"])
def test_a_lease_out_of_bounds_is_refused_by_name(ttl: float) -> None:
    with pytest.raises(InvalidDocumentError) as refused:
        lease_seconds(ttl, has_health_check=False)
    assert refused.value.pointer == "/ttl_seconds"
