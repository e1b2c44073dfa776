"""Reading back what others wrote straight into the store."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from configkit.backends.memory import MemoryCache, open_memory
from configkit.calls import Calls
from configkit.config.knowledge import Knowledge
from configkit.config.readback import LEAST_CYCLE, Readback, Turn
from configkit.models import ConfigPath, Origin
from tests.waiting import eventually


def path(number: int) -> ConfigPath:
    return ConfigPath("development", "asr-service", f"k{number}")


@given(st.integers(1, 300), st.integers(1, 50), st.floats(0.05, 1.0))
def test_everything_has_its_turn_and_never_more_than_the_rate(count: int, rate: int, tick: float) -> None:
    known = [Turn(path(number)) for number in range(count)]
    readback = Readback(float(rate), lambda: known)
    seen: list[Turn] = []
    now = 0.0
    while readback.cycle_seconds is None:
        seen += readback.due(now)
        assert len(seen) <= rate * now + rate + 1
        now += tick
    assert {turn.target for turn in seen} == {turn.target for turn in known}
    assert readback.cycle_seconds >= min(LEAST_CYCLE, count / rate / 2)


@given(st.integers(2, 200), st.randoms(use_true_random=False))
def test_nothing_waits_for_longer_than_a_round_though_what_is_known_comes_in_another_order_each_time(
    count: int, chance: Random
) -> None:
    known = [Turn(path(number)) for number in range(count)]

    def shuffled() -> list[Turn]:
        chance.shuffle(known)
        return list(known)

    readback, last, tick = Readback(20.0, shuffled), dict[object, float](), 0.25
    for step in range(400):
        now = step * tick
        for turn in readback.due(now):
            if turn.target in last and readback.cycle_seconds is not None:
                assert now - last[turn.target] <= readback.cycle_seconds + 2 * tick
            last[turn.target] = now


def test_a_service_counts_as_many_keys_as_it_has() -> None:
    readback = Readback(10.0, lambda: [Turn(("development", "big"), 100), Turn(path(1))])
    readback.due(0.0)
    times = [tick / 4 for tick in range(1, 100)]
    turns = [(now, turn.target) for now in times for turn in readback.due(now)]
    gap = next(now for now, target in turns if target == path(1)) - next(now for now, target in turns if target != path(1))
    assert gap >= 9.0


def test_what_somebody_wrote_past_the_client_is_found() -> None:
    store = open_memory(threads=False).config
    document = store.create(path(1), "old", is_encrypted=False, origin=Origin("t"))
    calls = Calls(workers=4)
    knowledge = Knowledge(store, MemoryCache(), calls, readback=1000.0)
    knowledge.load_service("development", "asr-service")
    store.update(path(1), "new", origin=Origin("somebody else"))
    store.create(path(2), "added", is_encrypted=False, origin=Origin("somebody else"))

    def found() -> bool:
        knowledge.retry_due()
        known = [knowledge.peek(path(number)) for number in (1, 2)]
        return [one and one.value for one in known] == ["new", "added"]

    assert document.version == 1
    assert eventually(found)
    calls.close()
