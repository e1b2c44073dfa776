"""The registry beside others that write the same tree, on a real server."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kazoo.security import make_acl, make_digest_acl

from configkit.backends.memory import open_memory
from configkit.backends.zookeeper import Security, open_zookeeper
from configkit.backends.zookeeper.registry import ZooKeeperRegistry
from configkit.client import ConfigKit
from configkit.errors import AccessDeniedError, ClosedError, InvalidDocumentError
from configkit.models import HealthCheck, RegistryChanged, ServiceSummary, utcnow
from configkit.wiring.buses import MergedBus, WatchBus
from tests.unit.backends.zookeeper import zoo
from tests.unit.backends.zookeeper.test_curator import WRITTEN_BY_CURATOR
from tests.unit.backends.zookeeper.zoo import ORIGIN, instance
from tests.waiting import eventually

HEALTH_URL = "http://10.255.255.1:9/health"


@pytest.fixture
def at() -> str:
    return zoo.hosts()


@pytest.fixture
def base() -> str:
    return zoo.base_path()


@pytest.fixture
def client(at: str) -> Iterator[Any]:
    with zoo.plain(at) as opened:
        yield opened


def test_a_node_is_exactly_curator_s_json_and_ephemeral(at: str, base: str, client: Any) -> None:
    with zoo.registry(at, base) as registry:
        registered, _ = registry.register(instance("j-1", "java", health_check_url=HEALTH_URL), origin=ORIGIN)
        content, stat = client.get(f"{base}/java/j-1")
        assert registered.registered_at is not None
        millis = round(registered.registered_at.timestamp() * 1000)
        assert content.decode() == (
            '{"name":"java","id":"j-1","address":"10.0.0.5","port":8087,"sslPort":null,'
            f'"payload":{{"health_check_url":"{HEALTH_URL}"}},"registrationTimeUTC":{millis},"serviceType":"DYNAMIC",'
            '"uriSpec":{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},'
            '{"value":"address","variable":true},{"value":":","variable":false},{"value":"port","variable":true}]}}'
        )
        assert stat.ephemeralOwner == registry.session.id


def test_nothing_but_instances_is_ever_under_the_base_path(at: str, base: str, client: Any) -> None:
    with zoo.registry(at, base) as registry:
        for service in ("a", "b"):
            registry.register(instance(service=service), ttl_seconds=5, origin=ORIGIN)
            registry.heartbeat(service, "one")
        assert sorted(client.get_children(base)) == ["a", "b"]
        assert [client.get_children(f"{base}/{service}") for service in ("a", "b")] == [["one"], ["one"]]


def test_a_jvm_service_is_found(at: str, base: str, client: Any) -> None:
    client.create(f"{base}/Java-Service/j-1", WRITTEN_BY_CURATOR, ephemeral=True, makepath=True)
    with zoo.registry(at, base) as registry:
        (found,) = registry.instances("Java-Service")
        assert (found.service_url, found.status, found.available, found.expires_at) == (
            "http://127.0.0.1:9000",
            "unknown",
            True,
            None,
        )
        assert registry.services() == [ServiceSummary("Java-Service", 1, 1)]


def test_a_bad_node_costs_only_itself_and_is_told_once(at: str, base: str, client: Any, caplog: pytest.LogCaptureFixture) -> None:
    bad = {"empty": b"", "broken": b"{", "array": b"[]", "nowhere": b"{}", "binary": b"\xff"}
    for name, content in {**bad, "good": WRITTEN_BY_CURATOR}.items():
        client.create(f"{base}/svc/{name}", content, ephemeral=True, makepath=True)
    client.create(f"{base}/svc/.no id", WRITTEN_BY_CURATOR, ephemeral=True)
    client.create(f"{base}/not a service/good", WRITTEN_BY_CURATOR, ephemeral=True, makepath=True)
    client.create(f"{base}/svc/secret", WRITTEN_BY_CURATOR, ephemeral=True, acl=[make_digest_acl("u", "p", all=True)])
    with zoo.registry(at, base) as registry, caplog.at_level(logging.WARNING, "configkit.zookeeper"):
        for _ in range(3):
            assert [one.instance_id for one in registry.instances("svc")] == ["good"]
        assert registry.services() == [ServiceSummary("svc", 1, 1)]
    told = [record.getMessage() for record in caplog.records if "describes no instance" in record.getMessage()]
    assert len(told) == len(bad) + 2


def test_changes_are_told_wherever_they_are_made(at: str, base: str, client: Any) -> None:
    told: list[str] = []
    with zoo.registry(at, base) as reader, zoo.registry(at, base) as writer:
        end = reader.listen(told.append)

        def is_told(change: Any) -> None:
            reader.instances("svc")
            told.clear()
            began = time.monotonic()
            change()
            eventually(lambda: told == ["svc"], timeout=2, every=0.002)
            assert time.monotonic() - began <= 0.5

        is_told(lambda: writer.register(instance(health_check_url=HEALTH_URL), origin=ORIGIN))
        is_told(lambda: writer.register(instance("two"), origin=ORIGIN))
        is_told(lambda: writer.record_check("svc", HealthCheck("one", healthy=True, response_time_ms=1.0), "healthy"))
        assert [one.status for one in reader.instances("svc")] == ["healthy", "unknown"]
        is_told(lambda: writer.deregister("svc", "two", origin=ORIGIN))
        is_told(lambda: client.delete(f"{base}/svc/one"))
        is_told(lambda: client.create(f"{base}/svc/j-1", WRITTEN_BY_CURATOR, ephemeral=True))
        is_told(lambda: zoo.expire(reader, at))
        reader.instances("svc")
        end()
        told.clear()
        registered_at = eventually(lambda: writer.register(instance("three"), origin=ORIGIN))
        assert registered_at
        assert told == []


def test_a_listener_that_raises_harms_no_other(at: str, base: str) -> None:
    told = threading.Event()

    def broken(_: str) -> None:
        raise RuntimeError("broken")

    with zoo.registry(at, base) as registry:
        registry.listen(broken)
        registry.listen(lambda _: told.set())
        registry.instances("svc")
        registry.register(instance(), origin=ORIGIN)
        assert told.wait(2)


def test_what_somebody_deleted_by_hand_is_not_registered_any_more(at: str, base: str, client: Any) -> None:
    with zoo.registry(at, base) as registry:
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        client.delete(f"{base}/svc/one")
        eventually(lambda: registry.keeper.holdings.find(f"{base}/svc/one") is None)
        assert registry.instances("svc") == []


def test_a_status_is_written_once_and_only_when_it_changes(at: str, base: str, client: Any) -> None:
    with zoo.registry(at, base) as registry:
        registry.register(instance(health_check_url=HEALTH_URL), ttl_seconds=60, origin=ORIGIN)
        check = HealthCheck("one", healthy=True, response_time_ms=1.0)
        for _ in range(3):
            registry.record_check("svc", check, "healthy")
        content, stat = zoo.nodes(client, base)["one"]
        assert (content["payload"]["status"], stat.version) == ("healthy", 1)
        registry.record_check("svc", HealthCheck("gone", healthy=True, response_time_ms=1.0), "healthy")
        assert list(zoo.nodes(client, base)) == ["one"]
        assert (registry.due_checks(interval=0), registry.sweep()) == ([], [])


def test_many_registrations_at_once_are_all_there(at: str, base: str) -> None:
    with zoo.registry(at, base) as registry:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: registry.register(instance(f"i{number:03d}"), origin=ORIGIN), range(200)))
        assert len(registry.instances("svc")) == 200
        assert registry.services() == [ServiceSummary("svc", 200, 200)]


def test_credentials_guard_what_is_written(at: str, base: str, client: Any) -> None:
    owner = Security(username="configkit", password="pass:word", acl="creator_read")
    with zoo.registry(at, base, security=owner) as registry, zoo.registry(at, base) as stranger:
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        registry.heartbeat("svc", "one")
        assert len(stranger.instances("svc")) == 1
        for refused in (
            lambda: stranger.register(instance(), origin=ORIGIN),
            lambda: stranger.register(instance("two"), origin=ORIGIN),
            lambda: stranger.deregister("svc", "one", origin=ORIGIN),
            lambda: stranger.heartbeat("svc", "one"),
        ):
            with pytest.raises(AccessDeniedError):
                refused()
        with zoo.registry(at, base, security=owner) as second:
            second.deregister("svc", "one", origin=ORIGIN)


def test_what_only_its_creator_may_read_is_denied_not_missing(at: str, base: str) -> None:
    owner = Security(username="configkit", password="password", acl="creator")
    with zoo.registry(at, base, security=owner) as registry, zoo.registry(at, base) as stranger:
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        with pytest.raises(AccessDeniedError):
            stranger.instances("svc")
        with pytest.raises(AccessDeniedError):
            stranger.services()


@pytest.mark.parametrize(
    "settings",
    [
        {"sasl": "PLAIN"}, {"sasl": "DIGEST-MD5"}, {"acl": "closed"}, {"acl": "creator"}, {"username": "a:b", "password": "c"},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocumentError):
        Security(**settings)


@pytest.mark.parametrize("hosts", ["", "host:port"])
def test_hosts_that_name_no_server_are_refused(hosts: str) -> None:
    with pytest.raises(InvalidDocumentError):
        open_zookeeper(hosts, "/services")


@pytest.mark.parametrize("base_path", ["/a//b", "/../a", "/.", "/a\nb"])
def test_a_base_path_that_is_none_is_refused(base_path: str) -> None:
    with pytest.raises(InvalidDocumentError):
        open_zookeeper("127.0.0.1:1", base_path)


def test_a_node_that_is_refused_costs_no_other(at: str, base: str, client: Any) -> None:
    with zoo.registry(at, base) as registry:
        registry.register(instance(service="locked"), ttl_seconds=60, origin=ORIGIN)
        registry.register(instance(), ttl_seconds=60, origin=ORIGIN)
        client.set_acls(f"{base}/locked", [make_acl("world", "anyone", read=True, admin=True)])
        zoo.expire(registry, at)
        eventually(lambda: list(zoo.nodes(client, base)) == ["one"], timeout=2)
        registry.deregister("svc", "one", origin=ORIGIN)
        assert zoo.nodes(client, base) == {}
        client.set_acls(f"{base}/locked", [make_acl("world", "anyone", all=True)])
        eventually(lambda: list(zoo.nodes(client, base, "locked")) == ["one"], timeout=2)


def test_a_password_is_never_shown() -> None:
    assert "canary" not in repr(Security(username="me", password="canary", key_password="canary"))


def test_a_closed_registry_says_so(at: str, base: str) -> None:
    with zoo.registry(at, base) as registry:
        registry.ping()
    registry.close()
    with pytest.raises(ClosedError):
        registry.instances("svc")


def test_the_base_path_may_be_the_root_of_a_chroot(at: str, base: str, client: Any) -> None:
    client.ensure_path(base)
    with zoo.registry(f"{at}{base}", "/") as registry:
        registry.register(instance(), origin=ORIGIN)
        assert json.loads(client.get(f"{base}/svc/one")[0])["id"] == "one"
        assert registry.services() == [ServiceSummary("svc", 1, 1)]
        registry.deregister("svc", "one", origin=ORIGIN)


@contextmanager
def client_of(registry: ZooKeeperRegistry) -> Iterator[ConfigKit]:
    """Give a client whose registry is ZooKeeper and whose other stores are in memory."""
    memory = open_memory()
    watches = WatchBus(registry.listen, lambda name: RegistryChanged(uuid.uuid4().hex, name, utcnow()))
    bus = MergedBus({"memory": memory.bus, "ZooKeeper": watches})
    with ConfigKit(replace(memory, registry=registry, records=registry, bus=bus), service_name="svc") as kit:
        yield kit


def test_discovery_in_another_process_knows_at_once_who_comes_and_goes(at: str, base: str) -> None:
    with zoo.registry(at, base) as reader, zoo.registry(at, base) as writer, client_of(reader) as kit:
        assert kit.services.instances("svc").items == ()
        writer.register(instance(), ttl_seconds=60, origin=ORIGIN)
        began = time.monotonic()
        eventually(lambda: len(kit.services.instances("svc").items) == 1, timeout=2, every=0.002)
        writer.deregister("svc", "one", origin=ORIGIN)
        eventually(lambda: kit.services.instances("svc").items == (), timeout=2, every=0.002)
        assert time.monotonic() - began <= 1
        zoo.expire(reader, at)
        writer.register(instance("two"), ttl_seconds=60, origin=ORIGIN)
        eventually(lambda: len(kit.services.instances("svc").items) == 1, timeout=2)


def test_a_process_that_checks_itself_is_healthy_to_others(at: str, base: str) -> None:
    class Well(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Well) as server, zoo.registry(at, base) as itself, zoo.registry(at, base) as other:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            with client_of(itself) as kit, kit.register(url=url, health_check_url=f"{url}/health"):
                eventually(lambda: [one.status for one in other.instances("svc")] == ["healthy"])
                zoo.expire(itself, at)
                eventually(lambda: [one.status for one in other.instances("svc")] == ["healthy"])
            assert other.instances("svc") == []
        finally:
            server.shutdown()
