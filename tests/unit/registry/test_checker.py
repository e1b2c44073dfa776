"""The checker: hysteresis over real checks, claims, sweeping and checks on demand."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from configkit.backends.memory import open_memory
from configkit.errors import UnavailableError
from configkit.models import HEALTHY, UNHEALTHY, UNKNOWN, HealthCheck, Origin, ServiceInstance
from configkit.ports import Backends, RegistryRecords
from configkit.registry.addresses import AddressPolicy
from configkit.registry.checker import Checker
from tests.unit.registry.servers import Listener, free_port, listening, status
from tests.waiting import eventually

ORIGIN = Origin("test")
POLICY = AddressPolicy(loopback=True)


class Switch:
    """Answers with a status that a test changes."""

    def __init__(self) -> None:
        self.code = 200
        self.once: int | None = None

    def __call__(self, connection: socket.socket) -> None:
        code, self.once = self.once or self.code, None
        connection.sendall(status(code))


@pytest.fixture
def backends() -> Iterator[Backends]:
    made = open_memory()
    yield made
    made.close()


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
def server(switch: Switch) -> Iterator[Listener]:
    with listening(switch) as made:
        yield made


@pytest.fixture
def checker(backends: Backends) -> Iterator[Checker]:
    made = checking(backends)
    yield made
    made.close()


def checking(backends: Backends, *, interval: float = 0.05, records: RegistryRecords | None = None) -> Checker:
    found = records or backends.records
    assert found is not None
    return Checker(found, backends.registry, interval=interval, policy=POLICY, timeout=0.5)


def register(backends: Backends, url: str | None, instance_id: str = "i1", ttl: float | None = None) -> None:
    instance = ServiceInstance("asr", "http://10.0.0.5:80", url, instance_id)
    backends.registry.register(instance, ttl_seconds=ttl, origin=ORIGIN)


def status_of(backends: Backends, instance_id: str = "i1") -> str:
    return {instance.instance_id: instance.status for instance in backends.registry.instances("asr")}[instance_id]


def becomes(backends: Backends, wanted: str) -> Callable[[], bool]:
    return lambda: status_of(backends) == wanted


def test_a_healthy_answer_makes_a_new_instance_available(backends: Backends, server: Listener, checker: Checker) -> None:
    register(backends, server.url)
    assert not backends.registry.instances("asr")[0].available
    checker.start()
    eventually(lambda: backends.registry.instances("asr")[0].available)
    assert backends.registry.instances("asr")[0].last_health_check is not None


def test_an_instance_that_fails_leaves_and_comes_back(
    backends: Backends, server: Listener, switch: Switch, checker: Checker
) -> None:
    register(backends, server.url)
    checker.start()
    eventually(becomes(backends, HEALTHY))
    switch.code = 503
    eventually(becomes(backends, UNHEALTHY))
    switch.code = 200
    eventually(becomes(backends, HEALTHY))


def test_a_check_on_demand_is_confirmed_at_once_so_that_answer_and_list_agree(
    backends: Backends, server: Listener, switch: Switch, checker: Checker
) -> None:
    register(backends, server.url)
    for code, found, error in ((200, HEALTHY, None), (500, UNHEALTHY, "status 500"), (204, HEALTHY, None)):
        switch.code = code
        (check,) = checker.check_now("asr")
        assert (check.instance_id, check.healthy, check.status_code, check.error) == ("i1", found == HEALTHY, code, error)
        assert status_of(backends) == found


def test_one_failure_on_demand_that_is_not_confirmed_is_forgiven(
    backends: Backends, server: Listener, switch: Switch, checker: Checker
) -> None:
    register(backends, server.url)
    checker.check_now("asr")
    switch.once = 500
    (check,) = checker.check_now("asr")
    assert check.healthy
    assert status_of(backends) == HEALTHY


def test_the_server_that_saw_a_failure_confirms_it_long_before_the_next_interval(
    backends: Backends, server: Listener, switch: Switch
) -> None:
    assert backends.records is not None
    register(backends, server.url)
    check = HealthCheck("i1", healthy=True, response_time_ms=1.0, status_code=200)
    backends.records.record_check("asr", check, HEALTHY)
    switch.code = 500
    checker = checking(backends, interval=3600)
    checker.start()
    eventually(lambda: server.requests)
    eventually(becomes(backends, UNHEALTHY), timeout=4)
    assert len(server.requests) == 2
    checker.close()


def test_a_name_that_nobody_knows_is_listed_but_not_available(backends: Backends, checker: Checker) -> None:
    register(backends, "http://nobody.invalid:8087/health")
    assert [check.error for check in checker.check_now("asr")] == ["name not resolved"]
    assert status_of(backends) == UNHEALTHY


def test_an_instance_without_a_health_check_counts_while_its_lease_lives(backends: Backends, checker: Checker) -> None:
    register(backends, None, "leased", ttl=30)
    register(backends, f"http://127.0.0.1:{free_port()}/", "refused")
    checks = {check.instance_id: (check.healthy, check.error) for check in checker.check_now("asr")}
    assert checks == {"leased": (True, None), "refused": (False, "connection refused")}
    assert status_of(backends, "leased") == UNKNOWN


def test_an_unknown_service_has_no_checks(checker: Checker) -> None:
    assert checker.check_now("nobody") == []


def test_several_servers_share_the_checks_of_one_instance(backends: Backends, server: Listener) -> None:
    register(backends, server.url)
    checkers = [checking(backends, interval=3600) for _ in range(3)]
    for one in checkers:
        one.start()
    eventually(becomes(backends, HEALTHY))
    for one in checkers:
        one.close()
    assert len(server.requests) == 1


def test_more_instances_than_workers_are_all_checked_within_one_interval(
    backends: Backends, server: Listener, checker: Checker
) -> None:
    for number in range(60):
        register(backends, server.url, f"i{number}")
    checker.start()
    eventually(lambda: all(instance.available for instance in backends.registry.instances("asr")), timeout=3)


def test_ended_leases_are_swept(switch: Switch) -> None:
    now = [1000.0]
    backends = open_memory(clock=lambda: now[0])
    register(backends, None, ttl=5)
    checker = checking(backends)
    now[0] += 6
    checker.start()
    assert backends.journal is not None
    journal = backends.journal
    eventually(lambda: [entry.action for entry in journal.entries(limit=10)] == ["expire", "register"])
    checker.close()
    backends.close()


class Flaky:
    """Records that cannot be reached for a while."""

    def __init__(self, records: RegistryRecords) -> None:
        self._records = records
        self.down = threading.Event()
        self.down.set()

    def __getattr__(self, name: str) -> object:
        if self.down.is_set():
            raise UnavailableError("gone", backend="test", operation=name)
        return getattr(self._records, name)


class FlakyRecords(Flaky):
    def due_checks(self, **arguments: object) -> object:
        return self.__getattr__("due_checks")(**arguments)  # type: ignore[operator]

    def record_check(self, *arguments: object) -> object:
        return self.__getattr__("record_check")(*arguments)  # type: ignore[operator]

    def sweep(self, **arguments: object) -> object:
        return self.__getattr__("sweep")(**arguments)  # type: ignore[operator]


def test_an_outage_is_said_once_and_survived(backends: Backends, server: Listener, caplog: pytest.LogCaptureFixture) -> None:
    assert backends.records is not None
    records = FlakyRecords(backends.records)
    register(backends, server.url)
    checker = checking(backends, records=records)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO, "configkit.registry"):
        checker.start()
        eventually(lambda: len(caplog.records) >= 2)
        records.down.clear()
        eventually(becomes(backends, HEALTHY))
        checker.close()
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "cannot sweep for now" in text]) == 1
    assert len([text for text in said if "works again" in text]) == 2


def test_closing_is_quick_and_may_be_repeated(backends: Backends) -> None:
    register(backends, "http://10.255.255.1:9/")
    checker = checking(backends)
    checker.start()
    checker.close()
    checker.close()
