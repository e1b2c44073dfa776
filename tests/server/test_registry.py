"""The registry over REST, as the contract says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from configkit.registry.addresses import AddressPolicy
from configkit_server.floods import Buckets
from configkit_server.wire.registry import Instance, InstanceList, ServiceHealth, SummaryPage
from tests.server.deployment import PROBLEM, REGISTRY, Deployed, deployed, problem
from tests.waiting import eventually


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Serve *status* on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as peer:
        thread = threading.Thread(target=peer.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{peer.server_address[1]}"
        finally:
            peer.shutdown()
            thread.join()


def register(server: Deployed, service: str, url: str, **fields: object) -> dict[str, object]:
    answer = server.http.post(f"{REGISTRY}/register", json={"service_name": service, "service_url": url, **fields})
    assert answer.status_code in (200, 201), answer.text
    Instance.model_validate(answer.json())
    made: dict[str, object] = answer.json()
    return made


def test_an_instance_is_registered_found_renewed_and_removed(either: Deployed) -> None:
    body = {
        "service_name": "nmt",
        "service_url": "http://nmt:1",
        "ttl_seconds": 30,
        "zone": "a",
        "weight": 3,
        "metadata": {"v": "1"},
    }
    first = either.http.post(f"{REGISTRY}/register", json=body)
    assert first.status_code == 201
    made = first.json()
    assert (made["zone"], made["weight"], made["metadata"], made["expires_at"] is not None) == ("a", 3, {"v": "1"}, True)
    assert either.http.post(f"{REGISTRY}/register", json=body).status_code == 200
    listed = InstanceList.model_validate(either.http.get(f"{REGISTRY}/services/nmt").json())
    assert ([item.instance_id for item in listed.items], listed.stale) == ([made["instance_id"]], False)
    assert [item["service_url"] for item in either.http.get(f"{REGISTRY}/discover/nmt").json()["items"]] == ["http://nmt:1"]
    summary = SummaryPage.model_validate(either.http.get(f"{REGISTRY}/services").json())
    assert [(item.service_name, item.instances, item.healthy) for item in summary.items] == [("nmt", 1, 1)]
    who = {"service_name": "nmt", "instance_id": made["instance_id"]}
    assert either.http.post(f"{REGISTRY}/heartbeat", json=who).json()["expires_at"] >= made["expires_at"]
    assert either.http.post(f"{REGISTRY}/deregister", json=who).json() == {"status": "ok"}
    assert either.http.get(f"{REGISTRY}/discover/nmt").json() == {"items": [], "stale": False}
    problem(either.http.post(f"{REGISTRY}/deregister", json=who), 404, "not-found")
    problem(either.http.post(f"{REGISTRY}/heartbeat", json=who), 404, "not-found")


def test_an_unresolvable_health_check_is_registered_and_not_healthy(either: Deployed) -> None:
    made = register(either, "asr-service", "http://asr-service:8087", health_check_url="http://asr-service.invalid:8087/health")
    assert made["status"] == "unknown"
    assert either.http.get(f"{REGISTRY}/discover/asr-service").json()["items"] == []
    assert len(either.http.get(f"{REGISTRY}/services/asr-service").json()["items"]) == 1
    answer = either.http.get(f"{REGISTRY}/services/asr-service/url")
    problem(answer, 503, "no-healthy-instance")
    assert answer.headers["retry-after"] == "1"


FORBIDDEN = [
    "http://127.0.0.1/h", "http://localhost/h", "http://[::1]/h", "http://2130706433/h", "http://0x7f000001/h", "http://127.1/h",
    "http://0177.0.0.1/h", "http://[::ffff:127.0.0.1]/h", "http://169.254.169.254/latest", "http://[fd00:ec2::254]/h",
    "http://100.100.100.200/h", "http://0.0.0.0/h", "http://224.0.0.1/h", "http://[64:ff9b::7f00:1]/h", "http://[2002:7f00:1::]/h",
    "http://[fe80::1]/h", "http://[ff02::1]/h",
]  # fmt: skip


@pytest.mark.parametrize("url", FORBIDDEN)
def test_a_health_check_at_a_forbidden_address_is_422(refusing: Deployed, url: str) -> None:
    answer = refusing.http.post(
        f"{REGISTRY}/register", json={"service_name": "a", "service_url": "http://a:1", "health_check_url": url}
    )
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == "/health_check_url"
    assert refusing.http.get(f"{REGISTRY}/services").json()["total"] == 0


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://user:zqxj@a/",
        "ftp://a/",
        "a:1",
        "",
        "http://",
        "http://a b/",
        "http://a\\b/",
        "http://a/#f",
        "javascript:1",
        "http://a:99999/",
    ],
)
@pytest.mark.parametrize("field", ["service_url", "health_check_url"])
def test_a_url_that_is_none_is_422(refusing: Deployed, url: str, field: str) -> None:
    body = {"service_name": "a", "service_url": "http://a:1", field: url}
    answer = refusing.http.post(f"{REGISTRY}/register", json=body)
    assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == f"/{field}"
    assert "zqxj" not in answer.text


@pytest.mark.parametrize(
    "fields",
    [
        {"ttl_seconds": 4.9}, {"ttl_seconds": 3601}, {"ttl_seconds": "30"}, {"weight": -1}, {"weight": 65536}, {"weight": 1.5},
        {"weight": True}, {"zone": "a b"}, {"instance_id": "../x"}, {"metadata": {"a": 1}}, {"metadata": {"": "x"}},
        {"metadata": {"a": "x" * 1025}}, {"metadata": {f"k{n}": "" for n in range(65)}}, {"service_name": "Bad"}, {"service_name": ""},
    ],
)  # fmt: skip
def test_a_registration_that_breaks_a_rule_is_422(refusing: Deployed, fields: dict[str, object]) -> None:
    problem(
        refusing.http.post(f"{REGISTRY}/register", json={"service_name": "a", "service_url": "http://a:1", **fields}),
        422,
        "invalid",
    )
    assert refusing.http.get(f"{REGISTRY}/services").json()["total"] == 0


def test_checks_decide_who_can_be_called() -> None:
    with answering(200) as good, answering(500) as bad, deployed(addresses=AddressPolicy(loopback=True)) as server:
        up = register(server, "nmt", good, health_check_url=good)
        down = register(server, "nmt", bad, health_check_url=bad)
        found = ServiceHealth.model_validate(server.http.post(f"{REGISTRY}/services/nmt/health").json())
        assert found.status == "healthy"
        checks = {check.instance_id: (check.healthy, check.status_code) for check in found.checks}
        assert checks == {up["instance_id"]: (True, 200), down["instance_id"]: (False, 500)}

        def callable_now() -> bool:
            items = server.http.get(f"{REGISTRY}/discover/nmt").json()["items"]
            return [item["instance_id"] for item in items] == [up["instance_id"]]

        eventually(callable_now)
        assert server.http.get(f"{REGISTRY}/services/nmt/url").json() == {"url": good, "instance_id": up["instance_id"]}


def test_a_check_on_demand_and_the_list_agree_at_once() -> None:
    with answering(200) as peer, deployed(addresses=AddressPolicy(loopback=True)) as server:
        register(server, "nmt", peer, health_check_url=peer, instance_id="one")
        server.http.get(f"{REGISTRY}/discover/nmt")
        assert server.http.post(f"{REGISTRY}/services/nmt/health").json()["status"] == "healthy"
        up = server.http.get(f"{REGISTRY}/discover/nmt").json()["items"]
        assert [(item["status"], item["last_health_check"] is not None) for item in up] == [("healthy", True)]
        server.http.post(f"{REGISTRY}/services/nmt/health")
        again = server.http.get(f"{REGISTRY}/discover/nmt").json()["items"]
        assert again[0]["last_health_check"] > up[0]["last_health_check"]
        with answering(500) as ill:
            register(server, "nmt", ill, health_check_url=ill, instance_id="one")
            assert server.http.post(f"{REGISTRY}/services/nmt/health").json()["status"] == "unhealthy"
            assert server.http.get(f"{REGISTRY}/discover/nmt").json()["items"] == []


def test_leaving_what_is_not_listed_is_told_without_advice_to_register(either: Deployed) -> None:
    who = {"service_name": "nmt", "instance_id": "gone"}
    assert "register it again" not in problem(either.http.post(f"{REGISTRY}/deregister", json=who), 404)["detail"]
    assert "register it again" in problem(either.http.post(f"{REGISTRY}/heartbeat", json=who), 404)["detail"]


def test_whoever_checks_over_and_over_has_to_wait_and_holds_up_nobody_else(server: Deployed) -> None:
    check = f"{REGISTRY}/services/nobody/health"
    answers = [server.http.post(check) for _ in range(40)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 10
    assert {answer.status_code for answer in answers} == {200, 429}
    assert problem(refused[0], 429)["type"] == f"{PROBLEM}too-many-requests"
    assert int(refused[0].headers["retry-after"]) >= 1
    assert server.http.post(check, headers=server.token("registry:read")).status_code == 200


def test_checks_on_demand_of_what_never_answers_hold_up_no_reader() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as tarpit,
        deployed(addresses=AddressPolicy(loopback=True)) as server,
        ThreadPoolExecutor(40) as callers,
    ):
        url = f"http://127.0.0.1:{tarpit.getsockname()[1]}"
        for number in range(40):
            register(server, "tar", url, health_check_url=f"{url}/{number}", instance_id=f"t{number}")
        tokens = [server.token("registry:read") for _ in range(2)] * 20
        service = f"{REGISTRY}/services/tar"
        checks = [callers.submit(server.http.post, f"{service}/health", headers=token) for token in tokens]

        def all_done_and_reading_is_quick() -> bool:
            began = time.monotonic()
            fresh = server.http.get(service, headers={"Cache-Control": "no-cache", **tokens[0]})
            assert fresh.status_code == 200
            assert time.monotonic() - began < 1.0
            return all(check.done() for check in checks)

        eventually(all_done_and_reading_is_quick, timeout=15, every=0.1)
        assert {check.result().status_code for check in checks} <= {200, 503}


def test_checking_a_service_without_instances_is_unknown(server: Deployed) -> None:
    assert server.http.post(f"{REGISTRY}/services/nobody/health").json() == {
        "service_name": "nobody",
        "status": "unknown",
        "checks": [],
    }
    assert server.http.get(f"{REGISTRY}/services/nobody").json() == {"items": [], "stale": False}


@pytest.mark.parametrize("strategy", ["round_robin", "random", "weighted", "least_loaded"])
def test_each_strategy_chooses_among_the_instances(server: Deployed, strategy: str) -> None:
    urls = {"http://a:1", "http://b:1"}
    for url in sorted(urls):
        register(server, "nmt", url, zone=url[7])
    chosen = {server.http.get(f"{REGISTRY}/services/nmt/url", params={"strategy": strategy}).json()["url"] for _ in range(40)}
    assert chosen == urls
    assert server.http.get(f"{REGISTRY}/services/nmt/url", params={"strategy": strategy, "zone": "b"}).json()["url"] == "http://b:1"
    assert [item["zone"] for item in server.http.get(f"{REGISTRY}/discover/nmt", params={"zone": "a"}).json()["items"]] == ["a"]


def test_an_unknown_strategy_is_422(server: Deployed) -> None:
    problem(server.http.get(f"{REGISTRY}/services/nmt/url", params={"strategy": "best"}), 422, "invalid")


def test_services_are_paged(server: Deployed) -> None:
    for number in range(5):
        register(server, f"s{number}", "http://a:1")
    part = server.http.get(f"{REGISTRY}/services", params={"limit": 2, "offset": 2}).json()
    assert ([item["service_name"] for item in part["items"]], part["total"]) == (["s2", "s3"], 5)


def test_a_flood_of_registrations_is_429(server: Deployed) -> None:
    server.app.state.configkit.registrations = Buckets(rate=0.01, burst=3)
    body = {"service_name": "a", "service_url": "http://a:1"}
    answers = [server.http.post(f"{REGISTRY}/register", json=body) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 429]
    problem(answers[-1], 429, "too-many-requests")
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_without_a_registry_every_one_of_its_endpoints_is_503() -> None:
    with deployed(registry_enabled=False) as server:
        body = {"service_name": "a", "service_url": "http://a:1"}
        who = {"service_name": "a", "instance_id": "a"}
        for method, path, sent in (
            ("POST", "register", body), ("POST", "deregister", who), ("POST", "heartbeat", who), ("GET", "services", None),
            ("GET", "services/a", None), ("GET", "services/a/url", None), ("POST", "services/a/health", None), ("GET", "discover/a", None),
        ):  # fmt: skip
            answer = server.http.request(method, f"{REGISTRY}/{path}", json=sent)
            assert problem(answer, 503)["type"] == PROBLEM + "registry-disabled"
            assert answer.headers["retry-after"] == "1"
