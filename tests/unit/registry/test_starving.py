"""Instances that accept and never answer delay nobody else's checks, whoever asks for theirs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from configkit.backends.memory import open_memory
from configkit.models import HEALTHY, UNHEALTHY, HealthCheck, Origin, ServiceInstance
from configkit.ports import Backends
from configkit.registry.addresses import AddressPolicy
from configkit.registry.checker import Checker
from tests.unit.registry.servers import listening, status
from tests.waiting import eventually

ORIGIN = Origin("test")
MANY = 150


class Switch:
    def __init__(self) -> None:
        self.code = 200

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(status(self.code))


def until_it_is_given_up(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.fixture
def backends() -> Iterator[Backends]:
    made = open_memory()
    yield made
    made.close()


@pytest.fixture
def tarpit() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def checking(backends: Backends, *, interval: float, timeout: float) -> Checker:
    assert backends.records is not None
    policy = AddressPolicy(loopback=True)
    return Checker(backends.records, backends.registry, interval=interval, policy=policy, timeout=timeout)


def register(backends: Backends, service: str, instance: str, url: str) -> None:
    backends.registry.register(ServiceInstance(service, "http://10.0.0.5:80", url, instance), origin=ORIGIN)


def becomes(backends: Backends, wanted: str, *, timeout: float) -> None:
    eventually(lambda: backends.registry.instances("victim")[0].status == wanted, timeout=timeout)


def tarpits_are_checked(backends: Backends, service: str) -> None:
    eventually(lambda: any(instance.status == UNHEALTHY for instance in backends.registry.instances(service)))


@pytest.mark.parametrize("service", ["tar", "tar-{}"], ids=["one service", "a service each"])
def test_a_failure_is_noticed_within_an_interval_and_3_s_whatever_else_hangs(backends: Backends, tarpit: str, service: str) -> None:
    switch = Switch()
    checker = checking(backends, interval=0.5, timeout=1.0)
    with listening(switch) as server:
        register(backends, "victim", "v", server.url)
        checker.start()
        becomes(backends, HEALTHY, timeout=5)
        for number in range(MANY):
            register(backends, service.format(number), f"t{number}", f"{tarpit}/{number}")
        tarpits_are_checked(backends, service.format(0))
        switch.code = 500
        becomes(backends, UNHEALTHY, timeout=3.5)
        switch.code = 200
        becomes(backends, HEALTHY, timeout=3.5)
        checker.close()


def test_checks_on_demand_over_and_over_leave_the_background_alone(backends: Backends, tarpit: str) -> None:
    switch, stop = Switch(), threading.Event()
    checker = checking(backends, interval=0.5, timeout=1.0)

    def ask() -> None:
        while not stop.is_set():
            checker.check_now("tar")

    with listening(switch) as server:
        register(backends, "victim", "v", server.url)
        checker.start()
        becomes(backends, HEALTHY, timeout=5)
        for number in range(MANY):
            register(backends, "tar", f"t{number}", f"{tarpit}/{number}")
        askers = [threading.Thread(target=ask) for _ in range(6)]
        for asker in askers:
            asker.start()
        tarpits_are_checked(backends, "tar")
        switch.code = 500
        becomes(backends, UNHEALTHY, timeout=3.5)
        (check,) = checker.check_now("victim")
        assert check.error == "status 500"
        stop.set()
        checker.close()
        for asker in askers:
            asker.join(5)
            assert not asker.is_alive()


def test_whoever_asks_gets_the_check_that_is_under_way(backends: Backends) -> None:
    found: list[HealthCheck] = []
    checker = checking(backends, interval=3600, timeout=2.0)
    with listening(until_it_is_given_up) as server:
        register(backends, "victim", "v", server.url)
        checker.start()
        eventually(lambda: len(server.requests) == 1)
        askers = [threading.Thread(target=lambda: found.extend(checker.check_now("victim"))) for _ in range(4)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(5)
        checker.close()
        assert [check.error for check in found] == ["timeout"] * 4
        assert len(server.requests) == 1


def test_closing_answers_those_who_wait_for_a_check(backends: Backends, tarpit: str) -> None:
    found: list[HealthCheck] = []
    checker = checking(backends, interval=3600, timeout=2.0)
    for number in range(MANY):
        register(backends, "tar", f"t{number}", f"{tarpit}/{number}")
    asker = threading.Thread(target=lambda: found.extend(checker.check_now("tar")))
    asker.start()
    tarpits_are_checked(backends, "tar")
    checker.close()
    asker.join(4)
    assert not asker.is_alive()
    assert [check.error for check in found].count("not checked") > MANY / 2
