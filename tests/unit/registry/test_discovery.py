"""Discovery: lists answered from memory, kept up to date, and what is said when the registry is gone."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from configkit.backends.memory import open_memory
from configkit.calls import Calls
from configkit.errors import AccessDeniedError, ConfigKitError, InvalidDocumentError, NoInstanceError, UnavailableError
from configkit.models import Instances, Origin, RegistryChanged, Resync, ServiceInstance, ServiceSummary, utcnow
from configkit.ports import Backends, ServiceRegistryClient
from configkit.registry.discovery import Services
from tests.waiting import eventually

ORIGIN = Origin("test")
GONE = UnavailableError("gone", backend="test", operation="instances")


class Counted:
    """A registry that counts what it is asked, and fails or hangs when told to."""

    def __init__(self, registry: ServiceRegistryClient) -> None:
        self._registry = registry
        self.asked: Counter[str] = Counter()
        self.error: ConfigKitError | None = None
        self.gate = threading.Event()
        self.gate.set()

    def instances(self, name: str) -> list[ServiceInstance]:
        self.asked[name] += 1
        self.gate.wait(10)
        if self.error:
            raise self.error
        return self._registry.instances(name)

    def services(self) -> list[ServiceSummary]:
        if self.error:
            raise self.error
        return self._registry.services()


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
    made = Calls(workers=4, deadline=0.5)
    yield made
    made.close()


@pytest.fixture
def services(registry: Counted, calls: Calls) -> Services:
    return peers(registry, calls)


def peers(registry: Counted, calls: Calls, *, max_stale: float = 60.0, refresh: float = 2.0) -> Services:
    return Services(registry, calls, max_stale=max_stale, refresh=refresh)  # type: ignore[arg-type]


def add(backends: Backends, instance_id: str, **fields: object) -> None:
    url = f"http://{instance_id}.example:80"
    backends.registry.register(ServiceInstance("asr", url, instance_id=instance_id, **fields), origin=ORIGIN)  # type: ignore[arg-type]


def ids(found: Instances) -> list[str]:
    return [instance.instance_id for instance in found.items]


def changed(name: str = "asr") -> RegistryChanged:
    return RegistryChanged("1", name, utcnow())


def test_the_first_question_reads_and_the_next_ones_do_not(backends: Backends, services: Services, registry: Counted) -> None:
    add(backends, "a")
    assert services.peek("asr") is None
    assert ids(services.instances("asr")) == ["a"]
    for _ in range(50):
        services.instances("asr")
    assert registry.asked["asr"] == 1
    peeked = services.peek("asr")
    assert peeked is not None
    assert ids(peeked) == ["a"]


def test_an_unknown_service_is_an_empty_list(services: Services) -> None:
    assert services.instances("nobody") == Instances((), stale=False)


def test_what_is_no_name_is_refused_before_anything_is_asked(services: Services, registry: Counted) -> None:
    with pytest.raises(InvalidDocumentError):
        services.instances("../etc")
    assert not registry.asked


def test_an_event_brings_the_change(backends: Backends, services: Services) -> None:
    services.instances("asr")
    add(backends, "a")
    assert ids(services.instances("asr")) == []
    services.on_event(changed())
    eventually(lambda: ids(services.instances("asr")) == ["a"])


def test_an_event_about_a_service_nobody_asked_for_costs_nothing(services: Services, registry: Counted) -> None:
    services.on_event(changed())
    services.retry_due()
    assert not registry.asked


def test_an_event_during_a_reading_causes_another_reading(backends: Backends, services: Services, registry: Counted) -> None:
    services.instances("asr")
    registry.gate.clear()
    services.on_event(changed())
    eventually(lambda: registry.asked["asr"] == 2)
    services.on_event(changed())
    services.on_event(changed())
    add(backends, "a")
    registry.gate.set()
    eventually(lambda: registry.asked["asr"] == 3 and ids(services.instances("asr")) == ["a"])


def test_a_fresh_question_sees_what_was_written_before_it(backends: Backends, services: Services) -> None:
    services.instances("asr")
    add(backends, "a")
    assert ids(services.instances("asr", fresh=True)) == ["a"]


def test_after_a_gap_in_the_events_known_lists_are_read_again(backends: Backends, services: Services) -> None:
    services.instances("asr")
    add(backends, "a")
    services.on_event(Resync("gap"))
    services.retry_due()
    eventually(lambda: ids(services.instances("asr")) == ["a"])


def test_a_lease_that_ends_silently_is_noticed(registry: Counted, calls: Calls) -> None:
    now = [1000.0]
    backends = open_memory(threads=False, clock=lambda: now[0])
    registry._registry = backends.registry
    backends.registry.register(ServiceInstance("asr", "http://a.example"), ttl_seconds=5, origin=ORIGIN)
    services = peers(registry, calls, refresh=0.05)
    assert len(services.instances("asr").items) == 1
    now[0] += 5

    def noticed() -> bool:
        services.retry_due()
        return not services.instances("asr").items

    eventually(noticed)
    backends.close()


def test_many_who_ask_at_once_cost_one_reading(backends: Backends, services: Services, registry: Counted) -> None:
    add(backends, "a")
    registry.gate.clear()
    found: list[Instances] = []
    askers = [threading.Thread(target=lambda: found.append(services.instances("asr"))) for _ in range(8)]
    for asker in askers:
        asker.start()
    eventually(lambda: registry.asked["asr"] == 1)
    registry.gate.set()
    for asker in askers:
        asker.join()
    assert [ids(one) for one in found] == [["a"]] * 8
    assert registry.asked["asr"] == 1


def test_a_registry_that_is_gone_leaves_the_last_list_marked_stale(
    backends: Backends, services: Services, registry: Counted
) -> None:
    add(backends, "a")
    services.instances("asr")
    registry.error = GONE
    services.on_event(changed())
    eventually(lambda: services.instances("asr").stale)
    assert ids(services.instances("asr")) == ["a"]
    assert services.stale
    assert services.url("asr") == "http://a.example:80"
    registry.error = None

    def healed() -> bool:
        services.retry_due()
        return not services.instances("asr").stale

    eventually(healed)
    assert not services.stale


def test_the_stale_list_keeps_instances_whose_leases_nobody_can_renew(registry: Counted, calls: Calls) -> None:
    now = [1000.0]
    backends = open_memory(threads=False, clock=lambda: now[0])
    backends.registry.register(ServiceInstance("asr", "http://a.example"), ttl_seconds=5, origin=ORIGIN)
    registry._registry = backends.registry
    services = peers(registry, calls)
    now[0] += 4.9
    services.instances("asr")
    registry.error = GONE
    services.on_event(changed())
    eventually(lambda: services.instances("asr").stale)
    ends = time.monotonic() + 0.2
    eventually(lambda: time.monotonic() > ends)
    assert len(services.instances("asr").items) == 1
    backends.close()


def test_a_stale_list_is_not_served_for_ever(backends: Backends, registry: Counted, calls: Calls) -> None:
    add(backends, "a")
    services = peers(registry, calls, max_stale=0.3)
    services.instances("asr")
    registry.error = GONE
    services.on_event(changed())

    def refused() -> bool:
        try:
            services.instances("asr")
        except UnavailableError:
            return True
        return False

    eventually(refused)


def test_blindness_from_the_start_is_an_error_and_no_empty_list(services: Services, registry: Counted) -> None:
    registry.error = GONE
    for ask in (services.instances, services.healthy, services.pick, services.url):
        with pytest.raises(UnavailableError):
            ask("asr")


def test_a_refusal_is_no_outage(backends: Backends, services: Services, registry: Counted) -> None:
    add(backends, "a")
    services.instances("asr")
    registry.error = AccessDeniedError("no", backend="test", operation="instances")
    services.on_event(changed())
    eventually(lambda: services.stale)
    with pytest.raises(AccessDeniedError):
        services.instances("asr")


def test_a_registry_that_hangs_holds_a_first_question_until_the_deadline(services: Services, registry: Counted) -> None:
    registry.gate.clear()
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        services.instances("asr")
    assert 0.45 < time.monotonic() - began < 1.5


def test_a_registry_that_hangs_does_not_hold_questions_about_known_services(
    backends: Backends, services: Services, registry: Counted
) -> None:
    add(backends, "a")
    services.instances("asr")
    registry.gate.clear()
    services.on_event(changed())
    eventually(lambda: registry.asked["asr"] == 2)
    began = time.monotonic()
    assert ids(services.instances("asr")) == ["a"]
    assert time.monotonic() - began < 0.4


def test_unhealthy_and_unchecked_instances_are_listed_but_not_picked(backends: Backends, services: Services) -> None:
    add(backends, "leased")
    add(backends, "unchecked", health_check_url="http://unchecked.example/health")
    assert ids(services.instances("asr")) == ["leased", "unchecked"]
    assert ids(services.healthy("asr")) == ["leased"]
    assert {services.pick("asr").instance_id for _ in range(6)} == {"leased"}


def test_no_available_instance_is_an_error_that_names_the_service(services: Services) -> None:
    with pytest.raises(NoInstanceError, match="nobody"):
        services.url("nobody")


def test_picks_go_round_by_default_and_prefer_the_zone(backends: Backends, services: Services) -> None:
    for instance_id, zone in (("a", "east"), ("b", "west"), ("c", None)):
        add(backends, instance_id, zone=zone)
    assert Counter(services.pick("asr").instance_id for _ in range(9)) == {"a": 3, "b": 3, "c": 3}
    assert {services.pick("asr", zone="west").instance_id for _ in range(4)} == {"b"}
    assert len({services.pick("asr", zone="north").instance_id for _ in range(9)}) == 3
    assert ids(services.healthy("asr", zone="east")) == ["a"]


def test_calls_in_flight_are_the_load(backends: Backends, services: Services) -> None:
    for instance_id in "abc":
        add(backends, instance_id)
    with services.using("asr") as first, services.using("asr") as second, services.using("asr") as third:
        assert {first.instance_id, second.instance_id, third.instance_id} == {"a", "b", "c"}
    with services.using("asr") as busy:
        others = {services.pick("asr", strategy="least_loaded").instance_id for _ in range(6)}
        assert others == {"a", "b", "c"} - {busy.instance_id}
    assert len({services.pick("asr", strategy="least_loaded").instance_id for _ in range(6)}) == 3


def test_a_call_that_fails_is_no_load_any_more(backends: Backends, services: Services) -> None:
    add(backends, "a")
    with pytest.raises(ZeroDivisionError), services.using("asr"):
        raise ZeroDivisionError
    assert services._loads("asr") == {}


def test_names_are_those_that_have_instances_even_for_a_while_without_the_registry(
    backends: Backends, services: Services, registry: Counted
) -> None:
    add(backends, "a")
    assert services.names() == ["asr"]
    registry.error = GONE
    assert services.summaries() == [ServiceSummary("asr", 1, 1)]


def test_names_are_unavailable_if_the_registry_always_was(services: Services, registry: Counted) -> None:
    registry.error = GONE
    with pytest.raises(UnavailableError):
        services.names()


def test_listeners_are_told_of_changes_until_they_leave(backends: Backends, services: Services) -> None:
    services.instances("asr")
    told: list[list[str]] = []
    leave = services.on_change("asr", lambda found: told.append(ids(found)))
    add(backends, "a")
    services.on_event(changed())
    eventually(lambda: told == [["a"]])
    services.on_event(changed())
    backends.registry.deregister("asr", "a", origin=ORIGIN)
    services.on_event(changed())
    eventually(lambda: told[-1] == [])
    assert told == [["a"], []]
    leave()
    add(backends, "b")
    services.on_event(changed())
    eventually(lambda: ids(services.instances("asr")) == ["b"])
    assert told[-1] == []


def test_a_listener_that_raises_harms_no_other(backends: Backends, services: Services) -> None:
    services.instances("asr")
    told = threading.Event()
    services.on_change("asr", lambda found: [].pop())
    services.on_change("asr", lambda found: told.set())
    add(backends, "a")
    services.on_event(changed())
    assert told.wait(5)


def test_without_threads_an_event_is_taken_in_before_it_returns(backends: Backends) -> None:
    services = Services(backends.registry, Calls(workers=0))
    end = backends.bus.subscribe(services.on_event)
    assert ids(services.instances("asr")) == []
    add(backends, "a")
    assert ids(services.instances("asr")) == ["a"]
    end()


def test_names_nobody_asks_for_any_more_do_not_pile_up(services: Services, registry: Counted) -> None:
    for number in range(4200):
        services._directory.entry(f"scan-{number}")
    assert len(services._directory._known) <= 512


def test_a_forked_childs_first_question_does_not_wait_for_the_parents_reading(
    backends: Backends, services: Services, registry: Counted
) -> None:
    registry.gate.clear()
    services.on_change("asr", lambda found: None)
    eventually(lambda: registry.asked["asr"] == 1)
    services.after_fork()
    services._calls.after_fork()
    registry.gate.set()
    add(backends, "a")
    assert ids(services.instances("asr")) == ["a"]
