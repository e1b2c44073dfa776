"""What sessions go through, on real servers: expiry, silence, death, and others with the same id."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.services import Server

from configkit.backends.zookeeper.registry import ZooKeeperRegistry
from configkit.errors import NotFoundError, UnavailableError
from tests import services
from tests.unit.backends.zookeeper import zoo
from tests.unit.backends.zookeeper.zoo import ORIGIN, instance
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with services.private("zookeeper", tmp_path) as started:
        yield started


def test_after_a_session_has_expired_there_is_exactly_one_node_again() -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with zoo.registry(at, base) as registry, zoo.plain(at) as client:
        for number in range(20):
            registry.register(instance(f"i{number}"), ttl_seconds=60, origin=ORIGIN)
        before = zoo.nodes(client, base)
        zoo.expire(registry, at)
        began = time.monotonic()
        eventually(lambda: registry.session.id not in (0, before["i0"][1].ephemeralOwner))
        eventually(lambda: len(zoo.nodes(client, base)) == 20, timeout=2)
        assert time.monotonic() - began <= 2
        after = zoo.nodes(client, base)
        for name, (content, stat) in after.items():
            assert stat.ephemeralOwner == registry.session.id
            assert content == before[name][0]


def test_a_lease_goes_on_over_the_end_of_the_session() -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with zoo.registry(at, base) as registry:
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        zoo.expire(registry, at)
        registry.heartbeat("svc", "one")
        assert [one.instance_id for one in registry.instances("svc")] == ["one"]


def test_the_node_of_a_former_own_session_is_replaced() -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with zoo.registry(at, base) as registry, zoo.plain(at) as client:
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        first = registry.session.id
        # The client is given up, as kazoo does after a refusal; its session lives on at the server.
        registry.session._client._connection._socket.shutdown(2)  # type: ignore[union-attr]
        registry.session._handler.ended.set()  # type: ignore[union-attr]
        registry.session._client._stopped.set()  # type: ignore[union-attr]
        registry.ping()
        assert registry.session.id not in (0, first)
        eventually(lambda: zoo.nodes(client, base)["one"][1].ephemeralOwner == registry.session.id, timeout=2)


def test_a_crashed_process_s_node_is_replaced_by_the_next_process_at_once() -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with zoo.member(at, base, session_timeout=30) as crashed, zoo.plain(at) as client:
        crashed.kill()
        with zoo.registry(at, base) as registry:
            _, created = registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
            assert not created
            assert zoo.nodes(client, base)["one"][1].ephemeralOwner == registry.session.id


def test_another_s_live_node_is_never_taken_back() -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with zoo.registry(at, base) as first, zoo.registry(at, base) as second, zoo.plain(at) as client:
        first.register(instance(service_url="http://10.0.0.1:1"), ttl_seconds=60, origin=ORIGIN)
        second.register(instance(service_url="http://10.0.0.2:2"), ttl_seconds=60, origin=ORIGIN)
        eventually(lambda: first.keeper.holdings.find(f"{base}/svc/one") is None)
        zoo.expire(first, at)
        first.ping()
        first.heartbeat("svc", "one")
        with pytest.raises(NotFoundError):
            first.deregister("svc", "one", origin=ORIGIN)
        ((content, stat),) = zoo.nodes(client, base).values()
        assert (content["port"], stat.ephemeralOwner) == (2, second.session.id)


def test_of_two_processes_with_one_id_the_second_takes_over_when_the_first_leaves() -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with zoo.member(at, base) as first, zoo.member(at, base) as second, zoo.plain(at) as client:
        owner = zoo.nodes(client, base)["one"][1].ephemeralOwner
        first.leave()
        first.wait()
        assert zoo.nodes(client, base)["one"][1].ephemeralOwner == owner
        second.leave()
        second.wait()
        assert zoo.nodes(client, base) == {}


def test_a_process_that_leaves_is_gone_within_half_a_second() -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with zoo.member(at, base) as leaving, zoo.registry(at, base) as registry:
        assert len(registry.instances("svc")) == 1
        leaving.leave()
        began = time.monotonic()
        eventually(lambda: registry.instances("svc") == [], timeout=5, every=0.005)
        assert time.monotonic() - began <= 0.5


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_crashed_or_hangs_is_gone_after_its_session(fault: signal.Signals) -> None:
    at, base, session_timeout = zoo.hosts(), zoo.base_path(), 2.0
    with zoo.member(at, base, session_timeout=session_timeout) as crashing, zoo.registry(at, base) as registry:
        began = time.monotonic()
        os.kill(crashing.pid, fault)
        eventually(lambda: registry.instances("svc") == [], timeout=10)
        assert time.monotonic() - began <= session_timeout + 2


def test_every_call_answers_in_time_while_the_server_hangs_and_all_is_well_afterwards(server: Server) -> None:
    at, base = server.env["ZOOKEEPER_HOSTS"], zoo.base_path()
    with zoo.registry(at, base, session_timeout=2, deadline=0.5) as registry:
        eventually(lambda: registry.session.id)
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        calls = [
            lambda: registry.register(instance("two"), ttl_seconds=60, origin=ORIGIN),
            lambda: registry.deregister("svc", "three", origin=ORIGIN),
            lambda: registry.heartbeat("svc", "one"),
            lambda: registry.instances("svc"),
            registry.services,
            registry.ping,
        ]
        server.pause()
        try:
            end, longest = time.monotonic() + 5, 0.0
            while time.monotonic() < end:
                for call in calls:
                    began = time.monotonic()
                    with pytest.raises(UnavailableError):
                        call()
                    longest = max(longest, time.monotonic() - began)
        finally:
            server.resume()
        assert longest <= 0.6
        resumed = time.monotonic()
        eventually(lambda: _ids(registry) == ["one"], timeout=5)
        assert time.monotonic() - resumed <= 5


def test_a_long_outage_does_not_end_the_client(server: Server) -> None:
    at, base = server.env["ZOOKEEPER_HOSTS"], zoo.base_path()
    with zoo.registry(at, base, session_timeout=2, deadline=0.5) as registry:
        eventually(lambda: registry.session.id)
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        server.kill()
        with pytest.raises(UnavailableError):
            registry.instances("svc")
        lost = time.monotonic()
        eventually(lambda: time.monotonic() - lost > 6, timeout=10, every=0.1)
        server.start()
        ready = time.monotonic()
        eventually(lambda: _ids(registry) == ["one"], timeout=5)
        assert time.monotonic() - ready <= 2
        with zoo.plain(at) as client:
            assert [stat.ephemeralOwner for _, stat in zoo.nodes(client, base).values()] == [registry.session.id]


def test_what_was_deregistered_while_the_server_was_away_is_not_there_afterwards(server: Server) -> None:
    at, base = server.env["ZOOKEEPER_HOSTS"], zoo.base_path()
    with zoo.registry(at, base, session_timeout=20, deadline=0.5) as registry, zoo.registry(at, base) as other:
        eventually(lambda: registry.session.id)
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        registry.register(instance("two"), ttl_seconds=60, origin=ORIGIN)
        server.pause()
        try:
            with pytest.raises(UnavailableError):
                registry.deregister("svc", "one", origin=ORIGIN)
        finally:
            server.resume()
        eventually(lambda: _ids(other) == ["two"], timeout=8)


def test_a_registry_that_is_opened_before_its_server_works_once_that_is_there(server: Server) -> None:
    at, base = server.env["ZOOKEEPER_HOSTS"], zoo.base_path()
    server.kill()
    began = time.monotonic()
    with zoo.registry(at, base, deadline=0.5) as registry:
        assert time.monotonic() - began < 0.5
        with pytest.raises(UnavailableError):
            registry.instances("svc")
        server.start()
        eventually(lambda: _ids(registry) == [], timeout=3)


def test_closing_takes_a_second_at_most_though_the_server_hangs(server: Server) -> None:
    at, base = server.env["ZOOKEEPER_HOSTS"], zoo.base_path()
    with zoo.registry(at, base, deadline=1) as registry:
        registry.register(instance(), origin=ORIGIN)
        server.pause()
        try:
            began = time.monotonic()
            registry.close()
            assert time.monotonic() - began <= 2
        finally:
            server.resume()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_a_session_of_its_own_and_leaves_the_parent_s_alone() -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with zoo.registry(at, base) as registry, zoo.plain(at) as client:
        registry.register(instance("parent"), ttl_seconds=60, origin=ORIGIN)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                registry.after_fork()
                registry.register(instance("child"), ttl_seconds=60, origin=ORIGIN)
                listed = [one.instance_id for one in registry.instances("svc")]
                registry.close()
                os.write(writing, json.dumps(listed).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            assert json.loads(answer.read()) == ["child", "parent"]
        os.waitpid(child, 0)
        eventually(lambda: list(zoo.nodes(client, base)) == ["parent"])
        registry.heartbeat("svc", "parent")
        assert zoo.nodes(client, base)["parent"][1].ephemeralOwner == registry.session.id


def _ids(registry: ZooKeeperRegistry) -> list[str] | None:
    try:
        return [one.instance_id for one in registry.instances("svc")]
    except UnavailableError:
        return None
