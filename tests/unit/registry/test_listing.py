"""Lists as they were read: what is shown of them later, and when they are read again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from configkit.models import ServiceInstance
from configkit.registry.listing import Listing, substance

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def leased(*seconds: float | None) -> tuple[ServiceInstance, ...]:
    return tuple(
        ServiceInstance(
            "asr", "http://10.0.0.5", instance_id=f"i{n}", expires_at=None if left is None else NOW + timedelta(seconds=left)
        )
        for n, left in enumerate(seconds)
    )


def test_an_instance_is_shown_until_half_a_second_after_the_end_of_its_lease() -> None:
    listing = Listing.of(leased(5, None, 9), read_at=100, now=NOW)
    assert [instance.instance_id for instance in listing.alive(105.4)] == ["i0", "i1", "i2"]
    assert [instance.instance_id for instance in listing.alive(105.5)] == ["i1", "i2"]
    assert [instance.instance_id for instance in listing.alive(1e9)] == ["i1"]


def test_a_wall_clock_ahead_of_the_registrys_hides_nobody() -> None:
    listing = Listing.of(leased(5, 5), read_at=100, now=NOW + timedelta(hours=1))
    assert len(listing.alive(104)) == 2


@given(left=st.lists(st.floats(min_value=0.25, max_value=3600), max_size=5), refresh=st.floats(min_value=0.5, max_value=10))
def test_a_list_is_read_again_before_its_first_instance_would_vanish(left: list[float], refresh: float) -> None:
    listing = Listing.of(leased(*left), read_at=100, now=NOW)
    again = listing.next_read(refresh)
    assert again <= 100 + 30 + 1e-6
    assert len(listing.alive(again)) == len(left)


@given(left=st.lists(st.floats(min_value=0.001, max_value=3600), max_size=5))
def test_lists_are_not_read_again_and_again(left: list[float]) -> None:
    listing = Listing.of(leased(*left), read_at=100, now=NOW)
    assert listing.next_read(2.0) >= 100 + min([2.0, *(max(one, 0.25) for one in left)]) - 1e-5


def test_ends_of_leases_and_times_of_checks_are_no_change() -> None:
    assert substance(leased(5)) == substance(leased(9))
    assert substance(leased(5)) != substance(leased(5, 5))
