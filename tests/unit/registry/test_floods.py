"""Discovery when somebody asks for thousands of names, and when this process has no worker to spare."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from configkit.backends.memory import open_memory
from configkit.calls import Calls, SaturatedError
from configkit.models import Origin, RegistryChanged, Resync, ServiceInstance, utcnow
from configkit.ports import Backends
from configkit.registry.discovery import Services
from configkit.registry.listing import Listing
from configkit.registry.remembered import Remembered
from tests.unit.registry.test_discovery import Counted
from tests.waiting import eventually

ORIGIN = Origin("test")
GAP = Resync("gap")


@pytest.fixture
def backends() -> Iterator[Backends]:
    made = open_memory(threads=False)
    yield made
    made.close()


@pytest.fixture
def registry(backends: Backends) -> Iterator[Counted]:
    made = Counted(backends.registry)
    yield made
    made.gate.set()


@pytest.fixture
def calls() -> Iterator[Calls]:
    made = Calls(workers=2, deadline=2.0, waiting=64)
    yield made
    made.close()


@pytest.fixture
def services(registry: Counted, calls: Calls) -> Services:
    return Services(registry, calls)  # type: ignore[arg-type]


@contextmanager
def saturated(calls: Calls) -> Iterator[None]:
    """Let every worker be busy, and every place of the queue be taken."""
    gate = threading.Event()
    try:
        for _ in range(66):
            calls.submit(gate.wait, 10)
        with pytest.raises(SaturatedError):
            calls.submit(int)
        yield
    finally:
        gate.set()


def add(backends: Backends, name: str, instance_id: str = "a") -> None:
    backends.registry.register(ServiceInstance(name, "http://a.example", instance_id=instance_id), origin=ORIGIN)


def found(services: Services, name: str) -> list[str]:
    return [instance.instance_id for instance in services.instances(name).items]


def test_after_a_flood_of_names_and_a_gap_a_real_service_is_fresh_and_other_calls_get_through(
    backends: Backends, services: Services, registry: Counted, calls: Calls
) -> None:
    add(backends, "asr")
    services.instances("asr")
    for number in range(1000):
        services.instances(f"nobody-{number}")
    registry.gate.clear()
    services.on_event(GAP)
    for _ in range(5):
        services.retry_due()
    assert calls.submit(int)
    assert not services.stale
    assert not services.instances("asr").stale
    registry.gate.set()
    eventually(lambda: registry.asked["asr"] == 2)


def test_after_a_gap_a_few_services_are_read_at_a_time_those_asked_for_last_first(
    backends: Backends, services: Services, registry: Counted, calls: Calls
) -> None:
    names = [f"asr-{number}" for number in range(60)]
    for name in names:
        add(backends, name)
        services.instances(name)
    registry.gate.clear()
    services.on_event(GAP)
    for _ in range(5):
        services.retry_due()
    for _ in range(30):
        calls.submit(int)
    registry.gate.set()
    eventually(lambda: all(registry.asked[name] == 2 for name in names[-32:]))
    assert not services.stale

    def all_read() -> bool:
        services.retry_due()
        return all(registry.asked[name] == 2 for name in names)

    eventually(all_read)


def test_a_gap_while_a_list_is_read_has_it_read_once_more(backends: Backends, services: Services, registry: Counted) -> None:
    add(backends, "asr")
    services.instances("asr")
    registry.gate.clear()
    services.on_event(RegistryChanged("1", "asr", utcnow()))
    eventually(lambda: registry.asked["asr"] == 2)
    services.on_event(GAP)
    add(backends, "asr", "b")
    registry.gate.set()
    eventually(lambda: registry.asked["asr"] == 3)


def test_having_no_worker_to_spare_says_nothing_of_the_registry(backends: Backends, services: Services, calls: Calls) -> None:
    add(backends, "asr")
    services.instances("asr")
    add(backends, "asr", "b")
    with saturated(calls):
        services.on_event(RegistryChanged("1", "asr", utcnow()))
        services.retry_due()
        assert not services.stale
        assert not services.instances("asr").stale
        assert services.instances("asr", fresh=True).stale
        with pytest.raises(SaturatedError):
            services.instances("unknown")

    def read() -> bool:
        services.retry_due()
        return found(services, "asr") == ["a", "b"]

    eventually(read)
    assert not services.instances("unknown").stale


def test_names_without_instances_displace_no_service(backends: Backends, services: Services, registry: Counted) -> None:
    add(backends, "asr")
    services.instances("asr")
    for number in range(5000):
        services.instances(f"nobody-{number}")
    assert found(services, "asr") == ["a"]
    assert registry.asked["asr"] == 1


def test_names_without_instances_are_few_and_remembered_for_seconds_services_for_minutes() -> None:
    known = Remembered()
    service = known.add("asr")
    service.listing = Listing.of((ServiceInstance("asr", "http://a.example"),), read_at=0.0, now=utcnow())
    known.settle(service)
    for number in range(1000):
        known.add(f"nobody-{number}")
    assert len(known) == 1 + 512
    known.forget_idle(service.asked_at + 60)
    assert [one.name for one in known.all()] == ["asr"]
    known.forget_idle(service.asked_at + 301)
    assert len(known) == 0


def test_a_service_whose_instances_left_is_soon_forgotten_and_comes_back(backends: Backends, services: Services) -> None:
    add(backends, "asr")
    assert found(services, "asr") == ["a"]
    backends.registry.deregister("asr", "a", origin=ORIGIN)
    services.on_event(RegistryChanged("1", "asr", utcnow()))
    eventually(lambda: found(services, "asr") == [])
    add(backends, "asr", "b")
    services.on_event(GAP)
    assert found(services, "asr") == ["b"]


def test_a_listener_is_told_after_a_gap_even_of_a_service_without_instances(backends: Backends, services: Services) -> None:
    told: list[int] = []
    services.on_change("asr", lambda instances: told.append(len(instances.items)))
    eventually(lambda: services.peek("asr") is not None)
    add(backends, "asr")
    services.on_event(GAP)
    services.retry_due()
    eventually(lambda: told[-1:] == [1])
