"""What is the memory backend's own: its bounds, its clock, and how it delivers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from configkit.backends.memory import MemoryBus, MemoryCache, MemoryIdempotencyStore, MemoryJournal, open_memory
from configkit.errors import ConflictError, InvalidDocumentError, NotFoundError, OutcomeUnknownError
from configkit.models import (
    ConfigChanged,
    ConfigPath,
    ConfigVersion,
    Event,
    HealthCheck,
    Origin,
    RegistryChanged,
    Resync,
    ServiceInstance,
)
from configkit.ports import Backends, Outcome, RegistryRecords
from tests.waiting import eventually

ORIGIN = Origin("ann")
AT = datetime(2026, 1, 2, tzinfo=UTC)
HEALTH_URL = "http://10.0.0.5:8087/health"


class Clock:
    """Monotonic time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backends(clock: Clock) -> Iterator[Backends]:
    opened = open_memory(threads=False, clock=clock)
    yield opened
    opened.close()


def _document(key: str, version: int = 1) -> ConfigVersion:
    return ConfigVersion(ConfigPath("staging", "svc", key), version, key, False, False, AT, AT)


# the cache


def test_a_full_cache_forgets_what_came_first() -> None:
    cache = MemoryCache(max_entries=3)
    for key in "abcd":
        cache.put(_document(key))
    assert [path.key for path in cache.paths()] == ["b", "c", "d"]
    assert cache.get(_document("a").path) is None


def test_a_newer_version_of_a_known_key_pushes_nothing_out() -> None:
    cache = MemoryCache(max_entries=2)
    for document in (_document("a"), _document("b"), _document("a", 2), _document("b", 2)):
        assert cache.put(document)
    assert [path.key for path in cache.paths()] == ["a", "b"]


def test_a_refused_document_pushes_nothing_out() -> None:
    cache = MemoryCache(max_entries=2)
    cache.put(_document("a", 2))
    cache.put(_document("b"))
    assert cache.put(_document("a", 1)) is False
    assert len(cache.paths()) == 2


def test_a_cache_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        MemoryCache(max_entries=0)


def test_a_cache_stays_within_its_bound_under_many_threads() -> None:
    cache = MemoryCache(max_entries=50)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: cache.put(_document(f"k{number}")), range(2000)))
    assert len(cache.paths()) == 50


def test_reading_the_cache_takes_no_lock() -> None:
    cache = MemoryCache()
    cache.put(_document("a"))
    with cache._lock, ThreadPoolExecutor(1) as pool:
        assert pool.submit(cache.get, _document("a").path).result(timeout=5) == _document("a")


# leases, on a clock of the test's


def test_a_lease_ends_to_the_second(backends: Backends, clock: Clock) -> None:
    backends.registry.register(ServiceInstance("svc", "http://10.0.0.5:1"), ttl_seconds=5, origin=ORIGIN)
    clock.now += 4.999
    assert len(backends.registry.instances("svc")) == 1
    clock.now += 0.001
    assert backends.registry.instances("svc") == []
    assert backends.registry.services() == []


def test_a_heartbeat_counts_from_when_it_beats(backends: Backends, clock: Clock) -> None:
    instance, _ = backends.registry.register(ServiceInstance("svc", "http://10.0.0.5:1"), ttl_seconds=10, origin=ORIGIN)
    for _ in range(5):
        clock.now += 9
        backends.registry.heartbeat("svc", instance.instance_id)
    assert len(backends.registry.instances("svc")) == 1
    clock.now += 10
    with pytest.raises(NotFoundError):
        backends.registry.heartbeat("svc", instance.instance_id)


def test_an_ended_lease_is_swept_once_and_told(backends: Backends, clock: Clock) -> None:
    instance, _ = backends.registry.register(ServiceInstance("svc", "http://10.0.0.5:1"), ttl_seconds=5, origin=ORIGIN)
    told: list[Event] = []
    backends.bus.subscribe(told.append)
    assert backends.records is not None
    assert backends.records.sweep() == []
    clock.now += 5
    assert backends.records.sweep() == [("svc", instance.instance_id)]
    assert backends.records.sweep() == []
    assert [type(event) for event in told] == [RegistryChanged]


def test_what_registers_after_its_lease_ended_is_new_and_unchecked(backends: Backends, clock: Clock) -> None:
    wanted = ServiceInstance("svc", "http://10.0.0.5:1", HEALTH_URL)
    instance, _ = backends.registry.register(wanted, ttl_seconds=5, origin=ORIGIN)
    assert backends.records is not None
    _record(backends.records, instance, "healthy")
    clock.now += 5
    again, created = backends.registry.register(wanted, ttl_seconds=5, origin=ORIGIN)
    assert (again.status, created) == ("unknown", True)


def _record(records: RegistryRecords, instance: ServiceInstance, status: str) -> None:
    records.record_check("svc", HealthCheck(instance.instance_id, status == "healthy", 1.0), status)


def test_ten_minutes_of_ill_health_count_from_when_it_fell_ill(backends: Backends, clock: Clock) -> None:
    instance, _ = backends.registry.register(ServiceInstance("svc", "http://10.0.0.5:1", HEALTH_URL), origin=ORIGIN)
    records = backends.records
    assert records is not None
    clock.now += 5000
    _record(records, instance, "unhealthy")
    clock.now += 599
    _record(records, instance, "unhealthy")
    assert records.sweep() == []
    clock.now += 1
    assert records.sweep() == [("svc", instance.instance_id)]


def test_recovering_starts_the_ten_minutes_anew(backends: Backends, clock: Clock) -> None:
    instance, _ = backends.registry.register(ServiceInstance("svc", "http://10.0.0.5:1", HEALTH_URL), origin=ORIGIN)
    records = backends.records
    assert records is not None
    for status in ("unhealthy", "healthy", "unhealthy"):
        _record(records, instance, status)
        clock.now += 400
    assert records.sweep() == []


def test_checks_are_due_in_the_order_of_their_age(backends: Backends, clock: Clock) -> None:
    records = backends.records
    assert records is not None
    for name in "abc":
        backends.registry.register(ServiceInstance(name, "http://10.0.0.5:1", HEALTH_URL), origin=ORIGIN)
        records.due_checks(interval=60)
        clock.now += 1
    assert records.due_checks(interval=60) == []
    clock.now += 57
    assert [instance.service_name for instance in records.due_checks(interval=60)] == ["a"]
    clock.now += 60
    assert [instance.service_name for instance in records.due_checks(interval=60, limit=2)] == ["b", "c"]


# claims, on the same clock


def test_an_unfinished_claim_is_never_carried_out_again(clock: Clock) -> None:
    store = MemoryIdempotencyStore(clock=clock)
    assert store.begin("key", "one") is None
    clock.now += 60
    with pytest.raises(ConflictError):
        store.begin("key", "one")
    clock.now += 0.001
    with pytest.raises(OutcomeUnknownError):
        store.begin("key", "one")
    with pytest.raises(InvalidDocumentError):
        store.begin("key", "two")
    clock.now += 24 * 3600
    assert store.begin("key", "two") is None


def test_an_outcome_is_kept_for_a_day(clock: Clock) -> None:
    store = MemoryIdempotencyStore(clock=clock)
    store.begin("key", "one")
    store.finish("key", Outcome(201, "subject", 1))
    clock.now += 24 * 3600
    assert store.begin("key", "one") == Outcome(201, "subject", 1)
    clock.now += 0.001
    assert store.begin("key", "two") is None


def test_old_claims_are_forgotten_by_themselves(clock: Clock) -> None:
    store = MemoryIdempotencyStore(clock=clock)
    for number in range(100):
        store.begin(f"old-{number}", "one")
    clock.now += 25 * 3600
    store.begin("new", "one")
    assert len(store._claims) == 1


# delivery


def test_without_threads_a_subscriber_has_been_told_when_the_write_returns(backends: Backends) -> None:
    told: list[Event] = []
    within: list[threading.Thread] = []
    backends.bus.subscribe(told.append)
    backends.bus.subscribe(lambda _: within.append(threading.current_thread()))
    written = backends.config.create(ConfigPath("staging", "svc", "key"), 1, is_encrypted=False, origin=ORIGIN)
    assert [(event.version, event.path) for event in told if isinstance(event, ConfigChanged)] == [(1, written.path)]
    assert within == [threading.current_thread()]


def test_without_threads_what_a_subscriber_writes_is_told_after_what_it_was_told(backends: Backends) -> None:
    first, second = ConfigPath("staging", "svc", "first"), ConfigPath("staging", "svc", "second")
    told: list[tuple[str, bool]] = []
    inside = False

    def deliver(event: Event) -> None:
        nonlocal inside
        assert isinstance(event, ConfigChanged)
        told.append((event.path.key, inside))
        inside = True
        if event.path == first:
            backends.config.create(second, 1, is_encrypted=False, origin=ORIGIN)
        inside = False

    backends.bus.subscribe(deliver)
    backends.config.create(first, 1, is_encrypted=False, origin=ORIGIN)
    assert told == [("first", False), ("second", False)]


def test_without_threads_many_writers_never_overlap_in_a_subscriber() -> None:
    bus = MemoryBus(threads=False)
    busy = threading.Lock()
    told = []

    def deliver(event: Event) -> None:
        assert busy.acquire(blocking=False)
        told.append(event)
        busy.release()

    bus.subscribe(deliver)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: bus.publish(Resync(str(number))), range(500)))
    eventually(lambda: len(told) == 500)
    bus.close()


def test_a_slow_subscriber_delays_nobody_else() -> None:
    bus = MemoryBus()
    release, told = threading.Event(), threading.Event()

    def deliver_slowly(event: Event) -> None:
        release.wait(10)

    bus.subscribe(deliver_slowly)
    bus.subscribe(lambda _: told.set())
    bus.publish(Resync("test"))
    assert told.wait(5)
    release.set()
    bus.close()


def test_what_still_waits_when_a_subscription_ends_is_not_delivered() -> None:
    bus = MemoryBus()
    begun, release = threading.Event(), threading.Event()
    told: list[Event] = []

    def deliver(event: Event) -> None:
        told.append(event)
        begun.set()
        release.wait(10)

    others = set(threading.enumerate())
    end = bus.subscribe(deliver)
    bus.publish(Resync("first"))
    bus.publish(Resync("second"))
    assert begun.wait(5)
    end()
    release.set()
    eventually(lambda: not {thread for thread in threading.enumerate() if thread.name == "configkit-memory-bus"} - others)
    assert told == [Resync("first")]


def test_there_is_no_thread_until_somebody_subscribes_and_none_after_it_ends() -> None:
    others = set(threading.enumerate())

    def started() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "configkit-memory-bus"} - others

    backends = open_memory()
    backends.config.create(ConfigPath("staging", "svc", "key"), 1, is_encrypted=False, origin=ORIGIN)
    assert not started()
    end = backends.bus.subscribe(lambda _: None)
    assert len(started()) == 1
    end()
    eventually(lambda: not started())
    backends.bus.subscribe(lambda _: None)
    backends.close()
    backends.close()
    eventually(lambda: not started())


def test_a_forked_child_forgets_the_subscribers_and_tells_those_who_subscribe_again() -> None:
    backends = open_memory()
    before: list[Event] = []
    told: list[Event] = []
    backends.bus.subscribe(before.append)
    backends.after_fork()
    backends.bus.subscribe(told.append)
    backends.config.create(ConfigPath("staging", "svc", "key"), 1, is_encrypted=False, origin=ORIGIN)
    eventually(lambda: told)
    assert before == []
    backends.close()


def test_the_journal_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("configkit.backends.memory.journal.MAX_ENTRIES", 10)
    journal = MemoryJournal(lambda _: None)
    paths = [ConfigPath("staging", "svc", f"k{number}") for number in range(30)]
    journal.record_read(paths, origin=ORIGIN)
    assert [entry.subject for entry in journal.entries(limit=100)] == [str(path) for path in reversed(paths[20:])]


def test_health_asks_memory_and_it_answers(backends: Backends) -> None:
    assert list(backends.ping) == ["memory"]
    backends.ping["memory"]()
