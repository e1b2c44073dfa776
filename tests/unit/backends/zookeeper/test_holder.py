"""Servers that hold the nodes of what has no session, with the records in a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from configkit.backends.sql import open_sqlite
from configkit.backends.sql.registry import SqlRegistry
from configkit.backends.zookeeper.holder import Holder
from configkit.backends.zookeeper.plan import Plan, planned
from configkit.backends.zookeeper.registry import ZooKeeperRegistry
from configkit.errors import NotFoundError, UnavailableError
from configkit.models import HealthCheck, ServiceInstance, ServiceSummary
from tests import services
from tests.unit.backends.zookeeper import zoo
from tests.unit.backends.zookeeper.zoo import ORIGIN, instance
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)

HEALTH_URL = "http://10.255.255.1:9/health"


class Opened:
    """A server's registry, and what it is made of."""

    def __init__(self, zookeeper: ZooKeeperRegistry, records: SqlRegistry) -> None:
        self.zookeeper = zookeeper
        self.records = records
        self.holder = Holder(zookeeper, records, records, records.living)


@contextmanager
def opened(at: str, base: str, folder: Path, **options: Any) -> Iterator[Opened]:
    with ExitStack() as stack:
        backends = open_sqlite(str(folder / "configkit.db"), master_key="a test's" * 4)
        stack.callback(backends.close)
        assert isinstance(backends.registry, SqlRegistry)
        server = Opened(stack.enter_context(zoo.registry(at, base, **options)), backends.registry)
        stack.callback(server.holder.close)
        yield server


def _path(base: str, instance_id: str = "one") -> str:
    return f"{base}/svc/{instance_id}"


def test_the_plan_leaves_alone_what_is_not_this_server_s() -> None:
    plan = planned(
        recorded={"/new": b"1", "/same": b"1", "/changed": b"2", "/others": b"1"},
        held={"/same": b"1", "/changed": b"1", "/gone": b"1"},
        present={"/same", "/changed", "/gone", "/others", "/itself"},
    )
    assert plan == Plan(adopt=frozenset({"/new"}), rewrite=frozenset({"/changed"}), release=frozenset({"/gone"}))


def test_nothing_recorded_and_nothing_held_is_nothing_to_do() -> None:
    assert planned(recorded={}, held={}, present={"/itself"}) == Plan(frozenset(), frozenset(), frozenset())


def test_what_registers_over_rest_has_a_node_at_once(tmp_path: Path) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with opened(at, base, tmp_path) as server, zoo.plain(at) as client:
        eventually(lambda: server.zookeeper.session.id)
        server.holder.register(instance(), ttl_seconds=60, origin=ORIGIN)
        content, stat = zoo.nodes(client, base)["one"]
        assert (content["payload"], stat.ephemeralOwner) == ({"held": True}, server.zookeeper.session.id)
        server.holder.deregister("svc", "one", origin=ORIGIN)
        assert zoo.nodes(client, base) == {}


def test_another_server_adopts_what_a_killed_one_held(tmp_path: Path) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with (
        zoo.server(at, base, tmp_path / "configkit.db", count=50, session_timeout=4) as killed,
        opened(at, base, tmp_path) as survivor,
        zoo.plain(at) as client,
    ):
        survivor.holder.sweep()
        eventually(lambda: len(zoo.nodes(client, base)) == 50)
        killed.kill()
        began = time.monotonic()
        mine = survivor.zookeeper.session.id
        eventually(
            lambda: [stat.ephemeralOwner for _, stat in zoo.nodes(client, base).values()] == [mine] * 50, timeout=10, every=0.05
        )
        assert time.monotonic() - began <= 10


def test_a_server_that_ends_in_order_leaves_its_nodes_to_another_at_once(tmp_path: Path) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with zoo.server(at, base, tmp_path / "configkit.db") as leaving, opened(at, base, tmp_path) as staying, zoo.plain(at) as client:
        staying.holder.sweep()
        eventually(lambda: staying.zookeeper.watches._asked)
        leaving.leave()
        leaving.wait()
        began = time.monotonic()
        mine = staying.zookeeper.session.id
        eventually(lambda: [stat.ephemeralOwner for _, stat in zoo.nodes(client, base).values()] == [mine], timeout=3)
        assert time.monotonic() - began <= 2.5


def test_of_several_servers_one_holds_each_node(tmp_path: Path) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with ExitStack() as stack:
        servers = [stack.enter_context(opened(at, base, tmp_path)) for _ in range(3)]
        client = stack.enter_context(zoo.plain(at))
        for number in range(30):
            servers[0].records.register(instance(f"i{number}"), ttl_seconds=60, origin=ORIGIN)
        for server in servers:
            server.holder.sweep()
        eventually(lambda: len(zoo.nodes(client, base)) == 30)
        owners = {server.zookeeper.session.id: server for server in servers}
        for name, (_, stat) in zoo.nodes(client, base).items():
            holders = [server for server in servers if server.zookeeper.keeper.holdings.find(_path(base, name))]
            eventually(lambda holders=holders, owner=owners[stat.ephemeralOwner]: owner in holders)  # type: ignore[misc]
        eventually(lambda: sum(len(server.zookeeper.keeper.holdings.held()) for server in servers) == 30)


def test_a_node_goes_when_its_record_does_whoever_removed_it(tmp_path: Path) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with opened(at, base, tmp_path) as holding, opened(at, base, tmp_path) as other, zoo.plain(at) as client:
        holding.holder.register(instance(), ttl_seconds=60, origin=ORIGIN)
        holding.holder.register(instance("two"), ttl_seconds=60, origin=ORIGIN)
        holding.holder.agree()
        eventually(lambda: len(zoo.nodes(client, base)) == 2)
        other.records.deregister("svc", "one", origin=ORIGIN)
        assert [one.instance_id for one in other.holder.instances("svc")] == ["two"]
        holding.holder.agree()
        assert list(zoo.nodes(client, base)) == ["two"]
        eventually(lambda: other.zookeeper.session.id)
        other.holder.deregister("svc", "two", origin=ORIGIN)
        assert zoo.nodes(client, base) == {}
        holding.holder.agree()
        assert holding.holder.services() == []


def test_a_record_without_a_node_is_listed_already(tmp_path: Path) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with opened(at, base, tmp_path) as server:
        server.records.register(instance(), ttl_seconds=60, origin=ORIGIN)
        assert [one.instance_id for one in server.holder.instances("svc")] == ["one"]
        assert server.holder.services() == [ServiceSummary("svc", 1, 1)]


def test_who_registers_itself_is_listed_with_the_recorded(tmp_path: Path) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with opened(at, base, tmp_path) as server, zoo.registry(at, base) as process:
        server.holder.register(instance("recorded"), ttl_seconds=60, origin=ORIGIN)
        process.register(instance("itself"), ttl_seconds=60, origin=ORIGIN)
        assert [one.instance_id for one in server.holder.instances("svc")] == ["itself", "recorded"]
        assert server.holder.services() == [ServiceSummary("svc", 2, 2)]
        assert server.holder.heartbeat("svc", "itself") is not None
        server.holder.agree()
        server.holder.deregister("svc", "itself", origin=ORIGIN)
        assert [one.instance_id for one in server.holder.instances("svc")] == ["recorded"]
        with pytest.raises(NotFoundError):
            process.heartbeat("svc", "itself")


def test_what_a_check_found_is_in_the_node_soon(tmp_path: Path) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with opened(at, base, tmp_path) as server, zoo.plain(at) as client:
        eventually(lambda: server.zookeeper.session.id)
        server.holder.register(instance(health_check_url=HEALTH_URL), origin=ORIGIN)
        server.holder.sweep()
        server.holder.record_check("svc", HealthCheck("one", healthy=True, response_time_ms=1.0), "healthy")
        eventually(lambda: zoo.nodes(client, base)["one"][0]["payload"].get("status") == "healthy", timeout=4)


def test_while_zookeeper_is_away_registering_is_recorded_and_reading_is_refused(tmp_path: Path) -> None:
    with services.private("zookeeper", tmp_path / "zookeeper") as zookeeper:
        at, base = zookeeper.env["ZOOKEEPER_HOSTS"], zoo.base_path()
        with opened(at, base, tmp_path, deadline=0.5) as server:
            eventually(lambda: server.zookeeper.session.id)
            zookeeper.kill()
            eventually(lambda: not server.zookeeper.session.id)
            assert server.holder.register(instance(), ttl_seconds=60, origin=ORIGIN)[1] is True
            server.holder.heartbeat("svc", "one")
            for read in (lambda: server.holder.instances("svc"), server.holder.services):
                with pytest.raises(UnavailableError):
                    read()
            server.holder.sweep()
            zookeeper.start()
            with zoo.plain(at) as client:
                eventually(lambda: "one" in zoo.nodes(client, base), timeout=5)


def test_a_server_that_lost_its_session_holds_its_nodes_again(tmp_path: Path) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with opened(at, base, tmp_path) as server, zoo.plain(at) as client:
        eventually(lambda: server.zookeeper.session.id)
        server.holder.register(instance(), ttl_seconds=60, origin=ORIGIN)
        first = server.zookeeper.session.id
        zoo.expire(server.zookeeper, at)
        eventually(lambda: [stat.ephemeralOwner for _, stat in zoo.nodes(client, base).values()] not in ([], [first]), timeout=2)
        ((_, stat),) = zoo.nodes(client, base).values()
        assert stat.ephemeralOwner == server.zookeeper.session.id


def test_registering_does_not_wait_for_a_zookeeper_that_hangs(tmp_path: Path) -> None:
    with services.private("zookeeper", tmp_path / "zookeeper") as zookeeper:
        at, base = zookeeper.env["ZOOKEEPER_HOSTS"], zoo.base_path()
        with opened(at, base, tmp_path, session_timeout=20) as server:
            eventually(lambda: server.zookeeper.session.id)
            zookeeper.pause()
            try:
                began = time.monotonic()
                server.holder.register(instance(), ttl_seconds=60, origin=ORIGIN)
                assert time.monotonic() - began <= 1.5
            finally:
                zookeeper.resume()
            server.holder.sweep()
            with zoo.plain(at) as client:
                eventually(lambda: "one" in zoo.nodes(client, base), timeout=5)


def test_while_the_database_is_away_the_nodes_say_who_is_there(tmp_path: Path) -> None:
    at, base = zoo.hosts(), zoo.base_path()
    with opened(at, base, tmp_path) as server:
        eventually(lambda: server.zookeeper.session.id)
        server.holder.register(instance(), ttl_seconds=60, origin=ORIGIN)
        asked: list[None] = []

        class Away:
            def instances(self, service_name: str) -> list[ServiceInstance]:
                asked.append(None)
                raise UnavailableError("away", backend="a test", operation="list")

        server.holder._registry = Away()  # type: ignore[assignment]
        for _ in range(3):
            assert [one.instance_id for one in server.holder.instances("svc")] == ["one"]
        assert len(asked) == 1
