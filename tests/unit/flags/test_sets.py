import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from configkit.calls import Calls
from configkit.errors import AccessDeniedError, ConflictError, UnavailableError
from configkit.flags.compiled import CompiledSet
from configkit.flags.model import Flag
from configkit.flags.sets import FlagSets
from configkit.models import ConfigChanged, ConfigPath, Event, FlagChanged, Origin, Resync
from tests.unit.flags.store import ENVIRONMENT, Clock, SteeredStore
from tests.waiting import eventually

ORIGIN = Origin("tester")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOWN = UnavailableError("connection refused", backend="steered", operation="load")


def flag(percentage: float = 0, name: str = "f") -> Flag:
    return Flag(name, ENVIRONMENT, is_enabled=True, rollout_percentage=percentage)


def changed(version: int | None, name: str = "f") -> FlagChanged:
    return FlagChanged(f"log-{version}", ENVIRONMENT, name, version, deleted=False, at=NOW)


def percentage(sets: FlagSets, name: str = "f") -> float:
    known = sets.peek(ENVIRONMENT)
    assert known is not None
    return known.flags[name].rollout_percentage


@pytest.fixture
def calls() -> Iterator[Calls]:
    made = Calls(workers=8, deadline=5.0)
    yield made
    made.close()


@pytest.fixture
def store() -> Iterator[SteeredStore]:
    made = SteeredStore(flag(1))
    yield made
    if made.held is not None:
        made.held.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sets(store: SteeredStore, calls: Calls, clock: Clock) -> FlagSets:
    return FlagSets(store, calls, clock=clock)


def test_nothing_is_known_before_it_is_asked_for(sets: FlagSets, store: SteeredStore) -> None:
    assert sets.peek(ENVIRONMENT) is None
    assert sets.ensure(ENVIRONMENT).version == 1
    assert sets.peek(ENVIRONMENT) is sets.ensure(ENVIRONMENT)
    assert store.loads == [None]


def test_many_threads_that_ask_at_once_cost_one_load(sets: FlagSets, store: SteeredStore) -> None:
    store.held = threading.Event()
    found: list[CompiledSet] = []
    threads = [threading.Thread(target=lambda: found.append(sets.ensure(ENVIRONMENT))) for _ in range(20)]
    for thread in threads:
        thread.start()
    eventually(lambda: store.under_way)
    store.held.set()
    for thread in threads:
        thread.join(5)
    assert len(found) == 20
    assert len(store.loads) == 1


def test_workers_that_all_wait_for_one_set_do_not_starve_its_load(store: SteeredStore) -> None:
    calls = Calls(workers=2, deadline=5.0)
    sets = FlagSets(store, calls)
    try:
        waiting = [calls.submit(sets.ensure, ENVIRONMENT) for _ in range(8)]
        assert [calls.wait(each, 3.0).version for each in waiting] == [1] * 8
    finally:
        calls.close()


def test_an_announced_change_is_loaded_in_the_background(sets: FlagSets, store: SteeredStore) -> None:
    sets.ensure(ENVIRONMENT)
    sets.on_event(changed(store.put(flag(2)).version))
    eventually(lambda: percentage(sets) == 2)
    assert store.loads == [None, 1]


def test_events_that_tell_nothing_new_cost_nothing(sets: FlagSets, store: SteeredStore) -> None:
    store.put(flag(2))
    sets.ensure(ENVIRONMENT)
    for version in (2, 1):
        sets.on_event(changed(version))
    sets.on_event(FlagChanged("x", "staging", "f", 9, deleted=False, at=NOW))
    sets.on_event(ConfigChanged("y", ConfigPath(ENVIRONMENT, "asr", "k"), 3, deleted=False, at=NOW))
    assert store.loads == [None]


def test_an_event_without_a_version_means_read_again(sets: FlagSets, store: SteeredStore) -> None:
    sets.ensure(ENVIRONMENT)
    store.put(flag(2))
    sets.on_event(changed(None))
    eventually(lambda: percentage(sets) == 2)


def test_a_storm_of_events_costs_one_load_under_way_and_one_behind_it(sets: FlagSets, store: SteeredStore) -> None:
    sets.ensure(ENVIRONMENT)
    store.held = threading.Event()
    store.put(flag(2))
    sets.on_event(changed(2))
    eventually(lambda: store.under_way)
    for version in range(3, 203):
        store.put(flag(version % 100))
        sets.on_event(changed(version))
    store.held.set()
    eventually(lambda: (known := sets.peek(ENVIRONMENT)) is not None and known.version == 202)
    assert len(store.loads) == 3
    assert store.most_under_way == 1


def test_a_change_during_a_load_that_had_read_already_is_not_missed(sets: FlagSets, store: SteeredStore) -> None:
    store.held = threading.Event()
    sets.request(ENVIRONMENT)
    eventually(lambda: store.under_way)
    store.put(flag(7))
    sets.on_event(changed(2))
    store.held.set()
    eventually(lambda: sets.peek(ENVIRONMENT) is not None and percentage(sets) == 7)


@pytest.mark.parametrize("event", [changed(2), Resync("reconnected")], ids=["change", "resync"])
def test_a_slow_load_that_was_overtaken_does_not_bring_old_flags_back(
    sets: FlagSets, store: SteeredStore, calls: Calls, clock: Clock, event: Event
) -> None:
    sets.ensure(ENVIRONMENT)
    slow = store.held = threading.Event()
    store.put(flag(2))
    sets.on_event(event)
    eventually(lambda: store.under_way)
    store.held = None
    store.put(flag(3))
    clock.now += 6
    sets.retry_due()
    clock.now += 6
    sets.retry_due()
    eventually(lambda: percentage(sets) == 3)
    slow.set()
    calls.close()
    assert (sets.ensure(ENVIRONMENT).version, percentage(sets)) == (3, 3)


@pytest.mark.parametrize("restored", [1, 2, 7])
def test_a_slow_load_from_before_a_restored_backup_is_not_taken_for_news(
    sets: FlagSets, store: SteeredStore, calls: Calls, clock: Clock, restored: int
) -> None:
    store.put(flag(2))
    sets.ensure(ENVIRONMENT)
    for version in range(3, 9):
        store.put(flag(version))
    slow = store.held = threading.Event()
    sets.on_event(changed(8))
    eventually(lambda: store.under_way)
    store.held = None
    clock.now += 6
    sets.retry_due()
    if restored > 2:
        sets.refresh(ENVIRONMENT)
    store.set_back(restored, flag(50))
    assert sets.refresh(ENVIRONMENT).version == restored
    slow.set()
    calls.close()
    assert (sets.ensure(ENVIRONMENT).version, percentage(sets)) == (restored, 50)


def test_a_store_that_went_back_is_followed_when_it_is_asked_anew(sets: FlagSets, store: SteeredStore) -> None:
    for version in range(2, 6):
        store.put(flag(version))
    sets.ensure(ENVIRONMENT)
    store.set_back(2, flag(50))
    assert sets.refresh(ENVIRONMENT).version == 2
    assert percentage(sets) == 50


def test_a_store_that_went_back_and_on_to_the_same_version_is_read_whole_after_a_resync(
    sets: FlagSets, store: SteeredStore
) -> None:
    sets.ensure(ENVIRONMENT)
    store.set_back(1, flag(60))
    sets.on_event(Resync("the change log was replaced"))
    eventually(lambda: percentage(sets) == 60)


def test_an_older_answer_after_an_event_is_asked_for_again_and_not_shown(sets: FlagSets, store: SteeredStore, clock: Clock) -> None:
    for version in range(2, 6):
        store.put(flag(version))
    sets.ensure(ENVIRONMENT)
    store.set_back(3, flag(3))
    sets.on_event(changed(6))
    eventually(lambda: len(store.loads) == 2 and store.under_way == 0)
    assert percentage(sets) == 5
    store.set_back(6, flag(6))
    clock.until(lambda: percentage(sets) == 6, step=lambda: _let_it(sets, store), seconds=2)


def test_a_store_that_stays_behind_its_announcement_is_believed_in_the_end(
    sets: FlagSets, store: SteeredStore, clock: Clock
) -> None:
    sets.ensure(ENVIRONMENT)
    sets.on_event(changed(9))
    eventually(lambda: len(store.loads) == 2)
    for _ in range(120):
        clock.now += 0.25
        _let_it(sets, store)
    assert len(store.loads) == 8
    assert sets.status()[ENVIRONMENT].stale is False


def test_a_store_that_went_back_unheard_is_followed_in_the_end(sets: FlagSets, store: SteeredStore, clock: Clock) -> None:
    for version in range(2, 6):
        store.put(flag(version))
    sets.ensure(ENVIRONMENT)
    store.set_back(2, flag(50))
    sets.on_event(changed(None))
    eventually(lambda: len(store.loads) == 2 and store.under_way == 0)
    assert percentage(sets) == 5
    clock.until(lambda: percentage(sets) == 50, step=lambda: _let_it(sets, store), seconds=30)
    assert sets.ensure(ENVIRONMENT).version == 2


def _let_it(sets: FlagSets, store: SteeredStore) -> None:
    before = len(store.loads)
    sets.retry_due()
    with sets._lock:
        begun = any(slot.flight for slot in sets._slots.values())
    if begun or len(store.loads) > before:
        eventually(lambda: not any(slot.flight for slot in sets._slots.values()))


def test_the_last_known_good_is_served_stale_while_the_store_fails_and_heals_by_itself(
    sets: FlagSets, store: SteeredStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="configkit")
    sets.ensure(ENVIRONMENT)
    store.failure = DOWN
    sets.on_event(changed(store.put(flag(2)).version))
    eventually(lambda: sets.ensure(ENVIRONMENT).stale)
    known = sets.ensure(ENVIRONMENT)
    assert (known.version, known.evaluate("f", False, "u1").reason) == (1, "STALE")
    for _ in range(80):
        clock.now += 0.25
        _let_it(sets, store)
    attempts = len(store.loads)
    assert 7 <= attempts <= 14
    status = sets.status()[ENVIRONMENT]
    assert (status.stale, status.age, status.error) == (True, 20.0, "steered: connection refused")
    store.failure = None
    healed = clock.until(lambda: percentage(sets) == 2, step=lambda: _let_it(sets, store), seconds=6)
    assert healed <= 5.25
    assert sets.status()[ENVIRONMENT].stale is False
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "version 1 is served, marked stale" in messages[0]
    assert messages[1].endswith("can be read again: version 2")


def test_an_unchanged_set_is_fresh_again_once_the_store_confirms_it(sets: FlagSets, store: SteeredStore, clock: Clock) -> None:
    sets.ensure(ENVIRONMENT)
    store.failure = DOWN
    sets.on_event(changed(None))
    eventually(lambda: sets.ensure(ENVIRONMENT).stale)
    store.failure = None
    clock.until(lambda: not sets.ensure(ENVIRONMENT).stale, step=lambda: _let_it(sets, store), seconds=2)
    assert store.loads[-1] == 1


def test_a_resync_that_failed_is_still_a_resync_when_it_is_tried_again(sets: FlagSets, store: SteeredStore, clock: Clock) -> None:
    sets.ensure(ENVIRONMENT)
    store.set_back(1, flag(60))
    store.failure = DOWN
    sets.on_event(Resync("reconnected"))
    eventually(lambda: sets.ensure(ENVIRONMENT).stale)
    store.failure = None
    clock.until(lambda: percentage(sets) == 60, step=lambda: _let_it(sets, store), seconds=2)


def test_an_unexpected_error_of_a_store_is_survived_too(sets: FlagSets, store: SteeredStore, clock: Clock) -> None:
    sets.ensure(ENVIRONMENT)
    store.failure = RuntimeError("a bug")
    sets.on_event(changed(store.put(flag(2)).version))
    eventually(lambda: sets.ensure(ENVIRONMENT).stale)
    store.failure = None
    clock.until(lambda: percentage(sets) == 2, step=lambda: _let_it(sets, store), seconds=2)


def test_without_a_known_set_the_kind_of_failure_reaches_the_caller(sets: FlagSets, store: SteeredStore) -> None:
    store.failure = AccessDeniedError("no such token", backend="steered", operation="load")
    with pytest.raises(AccessDeniedError):
        sets.ensure(ENVIRONMENT)


def test_after_repeated_failures_callers_are_told_at_once_for_a_second(sets: FlagSets, store: SteeredStore, clock: Clock) -> None:
    store.failure = DOWN
    for _ in range(10):
        with pytest.raises(UnavailableError):
            sets.ensure(ENVIRONMENT)
    assert len(store.loads) == 3
    store.failure = None
    clock.now += 1
    assert sets.ensure(ENVIRONMENT).version == 1


def test_a_store_that_hangs_costs_its_callers_the_deadline_and_few_workers(store: SteeredStore, clock: Clock) -> None:
    calls = Calls(workers=16, deadline=0.1)
    sets = FlagSets(store, calls, clock=clock)
    held = store.held = threading.Event()
    try:
        with pytest.raises(UnavailableError):
            sets.ensure(ENVIRONMENT)
        for _ in range(200):
            clock.now += 0.25
            sets.retry_due()
            eventually(lambda: not any(slot.flight and not slot.flight.order for slot in sets._slots.values()))
        assert store.under_way == 4
        store.held = None
        held.set()
        eventually(lambda: store.under_way == 0)
        clock.now += 6
        sets.retry_due()
        eventually(lambda: (status := sets.status()[ENVIRONMENT]).version == 1 and not status.stale)
    finally:
        held.set()
        calls.close()


def test_polling_finds_what_nobody_announced(store: SteeredStore, calls: Calls, clock: Clock) -> None:
    sets = FlagSets(store, calls, poll=30.0, clock=clock)
    sets.ensure(ENVIRONMENT)
    store.put(flag(2))
    passed = clock.until(lambda: percentage(sets) == 2, step=lambda: _let_it(sets, store), seconds=37)
    assert 24 <= passed <= 36.5
    assert store.loads == [None, 1]


def test_polling_follows_a_store_that_went_back(store: SteeredStore, calls: Calls, clock: Clock) -> None:
    for version in range(2, 6):
        store.put(flag(version))
    sets = FlagSets(store, calls, poll=30.0, clock=clock)
    sets.ensure(ENVIRONMENT)
    store.set_back(2, flag(50))
    assert clock.until(lambda: percentage(sets) == 50, step=lambda: _let_it(sets, store), seconds=37) <= 36.5


def test_without_polling_nothing_is_asked(sets: FlagSets, store: SteeredStore, clock: Clock) -> None:
    sets.ensure(ENVIRONMENT)
    for _ in range(1000):
        clock.now += 0.25
        sets.retry_due()
    assert store.loads == [None]


def test_a_writer_sees_its_own_write_at_once(sets: FlagSets, store: SteeredStore) -> None:
    sets.ensure(ENVIRONMENT)
    assert sets.create(flag(5, "g"), origin=ORIGIN).version == 2
    assert percentage(sets, "g") == 5
    sets.update(ENVIRONMENT, "g", {"rollout_percentage": 6}, origin=ORIGIN, expected_version=2)
    assert percentage(sets, "g") == 6
    sets.delete(ENVIRONMENT, "g", origin=ORIGIN)
    assert "g" not in sets.ensure(ENVIRONMENT).flags
    with pytest.raises(ConflictError):
        sets.create(flag(), origin=ORIGIN)


def test_a_writer_sees_its_own_write_although_a_load_was_under_way(sets: FlagSets, store: SteeredStore) -> None:
    sets.ensure(ENVIRONMENT)
    held = store.held = threading.Event()
    sets.on_event(changed(None))
    eventually(lambda: store.under_way)
    store.held = None
    written = threading.Thread(target=lambda: sets.update(ENVIRONMENT, "f", {"rollout_percentage": 9}, origin=ORIGIN))
    written.start()
    eventually(lambda: store.version == 2)
    held.set()
    written.join(5)
    assert percentage(sets) == 9


def test_a_write_that_cannot_be_read_back_is_a_write_still(sets: FlagSets, store: SteeredStore) -> None:
    sets.ensure(ENVIRONMENT)
    store.failure = DOWN
    assert sets.update(ENVIRONMENT, "f", {"rollout_percentage": 9}, origin=ORIGIN).version == 2
    assert sets.ensure(ENVIRONMENT).stale


def test_writing_into_an_environment_that_nobody_reads_loads_nothing(sets: FlagSets, store: SteeredStore) -> None:
    sets.create(flag(5, "g"), origin=ORIGIN)
    assert store.loads == []


def test_listeners_hear_the_names_of_what_changed_until_they_end_it(
    sets: FlagSets, store: SteeredStore, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[tuple[str, frozenset[str]]] = []

    def broken(environment: str, names: frozenset[str]) -> None:
        raise ValueError("a listener's own fault")

    sets.ensure(ENVIRONMENT)
    sets.listen(broken)
    end = sets.listen(lambda environment, names: heard.append((environment, names)))
    sets.create(flag(5, "g"), origin=ORIGIN)
    eventually(lambda: heard == [(ENVIRONMENT, frozenset({"g"}))])
    sets.refresh(ENVIRONMENT)
    end()
    sets.delete(ENVIRONMENT, "g", origin=ORIGIN)
    assert len(heard) == 1
    assert "a listener for changes of flags failed" in caplog.text


def test_a_listener_may_write_a_flag(sets: FlagSets, store: SteeredStore) -> None:
    def follow(environment: str, names: frozenset[str]) -> None:
        if names == {"g"}:
            sets.update(environment, "f", {"rollout_percentage": 77}, origin=ORIGIN)

    sets.ensure(ENVIRONMENT)
    sets.listen(follow)
    sets.create(flag(5, "g"), origin=ORIGIN)
    eventually(lambda: percentage(sets) == 77)


def test_a_forked_child_keeps_what_is_known_and_reads_it_again(sets: FlagSets, store: SteeredStore, calls: Calls) -> None:
    sets.ensure(ENVIRONMENT)
    held = store.held = threading.Event()
    sets.on_event(changed(None))
    eventually(lambda: store.under_way)
    store.held = None
    store.put(flag(2))
    calls.after_fork()
    sets.after_fork()
    assert percentage(sets) == 1
    sets.retry_due()
    eventually(lambda: percentage(sets) == 2)
    held.set()


def test_sets_work_without_threads(store: SteeredStore) -> None:
    sets = FlagSets(store, Calls(workers=0))
    assert sets.ensure(ENVIRONMENT).version == 1
    sets.update(ENVIRONMENT, "f", {"rollout_percentage": 9}, origin=ORIGIN)
    assert percentage(sets) == 9
    store.put(flag(11))
    sets.on_event(changed(3))
    assert percentage(sets) == 11


def test_closed_calls_end_the_work_quietly(sets: FlagSets, store: SteeredStore, calls: Calls) -> None:
    sets.ensure(ENVIRONMENT)
    calls.close()
    sets.on_event(changed(5))
    sets.retry_due()
    assert percentage(sets) == 1
