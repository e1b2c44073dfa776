"""Balancing: each strategy as a function of instances and a number."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configkit.errors import InvalidDocumentError
from configkit.models import ServiceInstance
from configkit.registry.balancing import STRATEGIES, choose, in_zone, least_loaded, random, round_robin, weighted

draws = st.floats(min_value=0, max_value=1, exclude_max=True)


def instance(number: int, *, weight: int = 1, zone: str | None = None, **metadata: str) -> ServiceInstance:
    return ServiceInstance(
        "nmt", f"http://10.0.0.{number}:80", instance_id=f"i{number}", weight=weight, zone=zone, metadata=metadata
    )


def fleet(*weights: int) -> list[ServiceInstance]:
    return [instance(number, weight=weight) for number, weight in enumerate(weights)]


instances = st.lists(st.integers(min_value=0, max_value=65535), min_size=1, max_size=8).map(lambda weights: fleet(*weights))


@given(found=instances, turn=st.integers(min_value=0, max_value=2**40))
def test_round_robin_gives_everybody_one_call_in_as_many_turns_as_there_are(found: list[ServiceInstance], turn: int) -> None:
    assert Counter(round_robin(found, turn + step).instance_id for step in range(len(found))) == Counter(
        i.instance_id for i in found
    )


@given(size=st.integers(min_value=1, max_value=9))
def test_random_cuts_the_draws_into_equal_parts(size: int) -> None:
    found = fleet(*[1] * size)
    counts = Counter(random(found, (step + 0.5) / (size * 100)).instance_id for step in range(size * 100))
    assert set(counts.values()) == {100}
    assert len(counts) == size


@given(weights=st.lists(st.integers(min_value=0, max_value=50), min_size=1, max_size=6).filter(any))
def test_weighted_gives_each_exactly_its_share_of_the_draws(weights: list[int]) -> None:
    total = sum(weights)
    counts = Counter(weighted(fleet(*weights), (step + 0.5) / total).instance_id for step in range(total))
    assert [counts[f"i{number}"] for number in range(len(weights))] == weights


@given(draw=draws)
def test_weights_of_zero_get_nothing_unless_all_are_zero(draw: float) -> None:
    assert weighted(fleet(0, 3, 0), draw).instance_id == "i1"
    assert weighted(fleet(0, 0), draw).instance_id == ("i0" if draw < 0.5 else "i1")


@given(found=instances, draw=draws, turn=st.integers(min_value=0, max_value=1000), strategy=st.sampled_from(STRATEGIES))
def test_every_strategy_chooses_one_of_the_instances(found: list[ServiceInstance], draw: float, turn: int, strategy: str) -> None:
    assert choose(strategy, found, turn=turn, draw=draw, load={}) in found


def test_the_largest_draw_stays_within_the_list() -> None:
    below_one = 1 - 2**-53
    assert random(fleet(1, 1, 1), below_one).instance_id == "i2"
    assert weighted(fleet(65535, 65535, 1), below_one).instance_id == "i2"


@given(load=st.lists(st.integers(min_value=0, max_value=9), min_size=3, max_size=3), turn=st.integers(min_value=0, max_value=50))
def test_least_loaded_never_chooses_one_with_more_calls_in_flight_than_another(load: list[int], turn: int) -> None:
    loads = {f"i{number}": count for number, count in enumerate(load)}
    assert loads[least_loaded(fleet(1, 1, 1), loads, turn).instance_id] == min(load)


def test_least_loaded_takes_turns_among_equals() -> None:
    loads = {"i0": 4}
    assert [least_loaded(fleet(1, 1, 1), loads, turn).instance_id for turn in range(4)] == ["i1", "i2", "i1", "i2"]


def test_least_loaded_adds_what_an_instance_reports_of_itself() -> None:
    found = [instance(0, load="2.5"), instance(1, load="1")]
    assert least_loaded(found, {}, 0).instance_id == "i1"
    assert least_loaded(found, {"i1": 2}, 0).instance_id == "i0"


@pytest.mark.parametrize("text", ["", "much", "nan", "inf", "-5", "1e999"])
def test_a_reported_load_that_is_no_number_counts_as_none(text: str) -> None:
    assert least_loaded([instance(0, load="1"), instance(1, load=text)], {}, 0).instance_id == "i1"


def test_instances_of_the_zone_come_first_and_others_where_it_has_none() -> None:
    found = [instance(0, zone="a"), instance(1, zone="b"), instance(2)]
    assert [one.instance_id for one in in_zone(found, "b")] == ["i1"]
    assert in_zone(found, "c") == found
    assert in_zone(found, None) == found


def test_an_unknown_strategy_is_refused_with_those_that_exist() -> None:
    with pytest.raises(InvalidDocumentError, match="round_robin, random, weighted, least_loaded") as refused:
        choose("fastest", fleet(1), turn=0, draw=0.0, load={})
    assert refused.value.pointer == "/strategy"
