"""Who may do what."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import httpx2
import pytest

import configkit
from configkit.models import Origin
from configkit.ports import SCOPES, Token
from configkit_server import ProblemError, TokenAuth
from configkit_server.operations import Operation
from configkit_server.table import OPERATIONS
from tests.server.deployment import CONFIG, FLAGS, PLACE, REGISTRY, Deployed, deployed, problem, sqlite
from tests.waiting import eventually

INPUTS: dict[str, dict[str, object]] = {
    "createConfig": {"key": "new", "value": 1, **PLACE},
    "updateConfig": {"value": 2},
    "rollbackConfig": {"version": 1},
    "readConfigBulk": {**PLACE},
    "evaluateFlag": {"flag_name": "there", "environment": "development"},
    "evaluateFlags": {"environment": "development"},
    "ofrepEvaluateFlag": {"context": {}},
    "ofrepEvaluateFlags": {"context": {}},
    "createFlag": {"name": "new", "environment": "development"},
    "updateFlag": {"is_enabled": True},
    "registerInstance": {"service_name": "asr-service", "service_url": "http://a:1"},
    "deregisterInstance": {"service_name": "asr-service", "instance_id": "there"},
    "renewLease": {"service_name": "asr-service", "instance_id": "there"},
}


def call(server: Deployed, operation: Operation, headers: dict[str, str] | None = None) -> httpx2.Response:
    """Make a request that *operation* carries out, on what `prepare` has made."""
    path = operation.path.replace("{key}", "there").replace("{name}", "asr-service" if "registry" in operation.path else "there")
    names = {parameter.name for parameter in operation.parameters if parameter.required}
    params = {name: value for name, value in PLACE.items() if name in names}
    return server.http.request(operation.method, path, params=params, json=INPUTS.get(operation.name), headers=headers or {})


def prepare(server: Deployed, admin: dict[str, str]) -> None:
    server.create("there", 1, headers=admin)
    assert server.http.post(FLAGS, json={"name": "there", "environment": "development"}, headers=admin).status_code == 201
    body = {"service_name": "asr-service", "service_url": "http://a:1", "instance_id": "there", "ttl_seconds": 60}
    assert server.http.post(f"{REGISTRY}/register", json=body, headers=admin).status_code == 201


CLOSED = [operation for operation in OPERATIONS if not operation.is_open and operation.media_type != "text/event-stream"]


@pytest.mark.parametrize("operation", CLOSED, ids=lambda operation: operation.name)
def test_each_operation_needs_exactly_its_scope(operation: Operation) -> None:
    with deployed() as server:
        admin = server.token("admin")
        prepare(server, admin)
        problem(call(server, operation), 401, "unauthenticated")
        others = [scope for scope in SCOPES if scope not in (operation.scope, "admin")]
        if operation.scope is None:
            assert call(server, operation, server.token("flags:read")).is_success
            return
        refused = problem(call(server, operation, server.token(*others)), 403, "forbidden")
        assert refused["required_scope"] == operation.scope
        allowed = call(server, operation, server.token(operation.scope))
        assert allowed.is_success, allowed.text


@pytest.mark.parametrize("operation", CLOSED, ids=lambda operation: operation.name)
def test_admin_may_do_everything(operation: Operation) -> None:
    with deployed() as server:
        admin = server.token("admin")
        prepare(server, admin)
        assert call(server, operation, admin).is_success


def test_only_live_and_ready_are_open_once_there_are_credentials() -> None:
    with deployed(extra="the-token-of-the-environment") as server:
        assert {operation.name for operation in OPERATIONS if operation.is_open} == {"live", "ready"}
        for path in ("/live", "/ready"):
            assert server.http.get(path).status_code == 200
        for path in ("/health", "/metrics", "/openapi.json", "/api/v1/events", CONFIG, FLAGS):
            answer = server.http.get(path)
            problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        headers = {"Authorization": "Bearer the-token-of-the-environment"}
        for path in ("/health", "/metrics", "/openapi.json", CONFIG):
            assert server.http.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "given",
    ["Bearer wrong", "Bearer", "Basic YTpi", "the-token", "Bearer the-token x", "Bearer " + "x" * 5000, "Bearer \xe4"],
)
def test_a_bad_token_is_401_and_not_shown(given: str) -> None:
    with deployed(extra="the-token") as server:
        answer = server.http.get(CONFIG, headers={b"Authorization": given.encode("latin-1")})
        problem(answer, 401, "unauthenticated")
        assert "xxxxx" not in answer.text


def test_the_scheme_is_case_insensitive() -> None:
    with deployed(extra="the-token") as server:
        assert server.http.get(CONFIG, headers={"Authorization": "bEARER the-token"}).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-User", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Remote-User", "X-Api-Key", "Cookie"],
)
def test_no_other_header_gets_anybody_in(name: str) -> None:
    with deployed(extra="the-token") as server:
        problem(server.http.get(CONFIG, headers={name: "admin"}), 401)
        problem(server.http.get("/live/../api/v1/config", headers={name: "/live"}), 401)


def test_a_revoked_token_is_refused_at_once() -> None:
    with deployed(extra="keeps-credentials-on") as server:
        assert server.kit.backends.tokens is not None
        headers = server.token("config:read", name="gone")
        eventually(lambda: server.http.get(CONFIG, headers=headers).status_code == 200)
        server.kit.backends.tokens.revoke("gone", origin=Origin())
        eventually(lambda: server.http.get(CONFIG, headers=headers).status_code == 401, timeout=2.0)


def test_a_revoked_token_is_refused_even_if_it_was_the_last() -> None:
    with deployed() as server:
        assert server.kit.backends.tokens is not None
        headers = server.token("config:read", name="last")
        eventually(lambda: server.http.get(CONFIG, headers=headers).status_code == 200)
        server.kit.backends.tokens.revoke("last", origin=Origin())
        eventually(lambda: server.http.get(CONFIG, headers=headers).status_code == 401, timeout=2.0)


def test_the_tokens_name_is_who_changed_it() -> None:
    with deployed() as server:
        headers = server.token("config:write", name="deployer")
        assert server.create("a", 1, headers=headers)["changed_by"] == "deployer"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "[::1]", "localhost:8082", "127.0.0.1:1", "[::1]:8082"])
def test_without_credentials_a_loopback_host_is_served(refusing: Deployed, host: str) -> None:
    assert refusing.http.get(CONFIG, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "example.com:8082",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "",
        "a@localhost",
        "localhost/x",
        "LOCALHOST.",
        "127.0.0.1:x",
    ],
)
def test_without_credentials_another_host_is_refused(refusing: Deployed, host: str) -> None:
    document = problem(refusing.http.get(CONFIG, headers={"Host": host}), 403, "credentials-required")
    assert "configkit token create" in document["detail"]
    assert refusing.http.get("/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "Via"])
def test_without_credentials_what_comes_through_a_proxy_is_refused(refusing: Deployed, name: str) -> None:
    problem(refusing.http.get(CONFIG, headers={name: "127.0.0.1"}), 403, "credentials-required")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://localhost.evil.example", 403),
        ("http://localhost:3000", 200),
        ("http://127.0.0.1", 200),
    ],
)
def test_without_credentials_a_web_page_of_another_site_is_refused(server: Deployed, origin: str, status: int) -> None:
    answer = server.http.post(f"{CONFIG}/bulk", json=PLACE, headers={"Origin": origin})
    assert answer.status_code == status
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_without_credentials_another_machine_is_refused() -> None:
    auth = TokenAuth(None)
    scope = {"client": ("10.0.0.7", 5000), "headers": []}
    for client in (("10.0.0.7", 5000), ("::ffff:10.0.0.7", 1), ("testclient", 1), None):
        with pytest.raises(ProblemError, match="same machine"):
            asyncio.run(auth.authenticate({**scope, "client": client}, {b"host": b"localhost"}))
    for client in (("127.0.0.1", 1), ("::1", 1), ("::ffff:127.0.0.1", 1)):
        assert asyncio.run(auth.authenticate({**scope, "client": client}, {b"host": b"localhost"})).allows("admin")


def test_a_start_without_credentials_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "configkit.auth"), deployed():
        assert "no credentials are configured" in caplog.text


def test_with_credentials_the_host_does_not_matter() -> None:
    with deployed(extra="the-token") as server:
        headers = {"Authorization": "Bearer the-token", "Host": "config.example.com", "X-Forwarded-For": "10.1.2.3"}
        assert server.http.get(CONFIG, headers=headers).status_code == 200


def test_a_token_is_limited_to_its_environments_and_services() -> None:
    with deployed() as server:
        admin = server.token("admin")
        for environment in ("development", "production"):
            for service in ("mine", "other"):
                server.create("k", 1, environment=environment, service_name=service, headers=admin)
        limited = server.token(
            "config:read",
            "config:write",
            "flags:read",
            "flags:write",
            environments=frozenset({"development"}),
            services=frozenset({"mine"}),
        )
        listed = server.http.get(CONFIG, headers=limited).json()
        assert [(item["environment"], item["service_name"]) for item in listed["items"]] == [("development", "mine")]
        assert listed["total"] == 1
        for environment, service, status in (
            ("development", "mine", 200),
            ("production", "mine", 403),
            ("development", "other", 403),
        ):
            place = {"environment": environment, "service_name": service}
            assert server.http.get(f"{CONFIG}/k", params=place, headers=limited).status_code == status
            assert server.http.put(f"{CONFIG}/k", params=place, json={"value": 2}, headers=limited).status_code == status
            assert server.http.get(f"{CONFIG}/k/history", params=place, headers=limited).status_code == status
            assert (
                server.http.post(f"{CONFIG}/k/rollback", params=place, json={"version": 1}, headers=limited).status_code == status
            )
            assert server.http.post(f"{CONFIG}/bulk", json=place, headers=limited).status_code == status
            assert server.http.get(CONFIG, params=place, headers=limited).status_code == status
            created = server.http.post(CONFIG, json={"key": f"n-{service}", "value": 1, **place}, headers=limited)
            assert created.status_code == (201 if status == 200 else 403)
            assert server.http.delete(f"{CONFIG}/k", params=place, headers=limited).status_code == (204 if status == 200 else 403)
        for environment, status in (("development", 201), ("production", 403)):
            flag = {"name": "f", "environment": environment}
            assert server.http.post(FLAGS, json=flag, headers=limited).status_code == status
            assert server.http.post(FLAGS, json={**flag, "name": "g"}, headers=admin).status_code == 201
        listed = server.http.get(FLAGS, headers=limited).json()
        assert {item["environment"] for item in listed["items"]} == {"development"}
        assert listed["total"] == 2
        assert (
            server.http.post(f"{FLAGS}/evaluate", json={"flag_name": "g", "environment": "production"}, headers=limited).status_code
            == 403
        )
        assert server.http.post(f"{FLAGS}/evaluate/batch", json={"environment": "production"}, headers=limited).status_code == 403


def test_a_token_of_a_service_reads_what_is_shared_and_does_not_write_it() -> None:
    with deployed() as server:
        admin = server.token("admin")
        limited = server.token("config:read", "config:write", services=frozenset({"shop"}))
        shared = {"environment": "development", "service_name": "_shared"}
        mine = {**shared, "service_name": "shop"}
        server.create("plain", 1, headers=admin, **shared)
        server.create("secret", "canary", is_encrypted=True, headers=admin, **shared)
        server.create("foreign", 2, headers=admin, **{**shared, "service_name": "other"})

        found = server.http.get(f"{CONFIG}/plain", params={**mine, "resolve": "true"}, headers=limited)
        assert (found.status_code, found.json()["value"], found.json()["source"]) == (200, 1, "_shared")
        assert server.http.get(f"{CONFIG}/plain", params=shared, headers=limited).json()["value"] == 1
        assert server.http.get(f"{CONFIG}/plain/history", params=shared, headers=limited).json()["total"] == 1
        bulk = server.http.post(f"{CONFIG}/bulk", json={**mine, "resolve": True}, headers=limited).json()
        assert {key: item["masked"] for key, item in bulk["items"].items()} == {"plain": False, "secret": True}
        assert server.http.post(f"{CONFIG}/bulk", json=shared, headers=limited).json()["items"].keys() == {"plain", "secret"}
        for params in ({}, {"service_name": "_shared"}):
            listed = server.http.get(CONFIG, params=params, headers=limited).json()
            assert ([item["key"] for item in listed["items"]], listed["total"]) == (["plain", "secret"], 2)
        allowed = server.token("config:read", "secrets:read", services=frozenset({"shop"}))
        assert server.http.get(f"{CONFIG}/secret", params=shared, headers=allowed).json()["value"] == "canary"

        for answer in (
            server.http.post(CONFIG, json={"key": "new", "value": 1, **shared}, headers=limited),
            server.http.put(f"{CONFIG}/plain", params=shared, json={"value": 2}, headers=limited),
            server.http.delete(f"{CONFIG}/plain", params=shared, headers=limited),
            server.http.post(f"{CONFIG}/plain/rollback", params=shared, json={"version": 1}, headers=limited),
        ):
            problem(answer, 403, "forbidden")
        assert server.http.get(f"{CONFIG}/plain", params=shared, headers=admin).json()["version"] == 1


def test_a_client_with_a_token_of_its_service_becomes_ready_and_sees_what_is_shared() -> None:
    with deployed() as server:
        admin = server.token("admin")
        limited = server.token("config:read", "flags:read", "registry:read", services=frozenset({"shop"}))
        server.create("limit", 7, service_name="_shared", headers=admin)
        with configkit.connect(server.url, service_name="shop", token=limited["Authorization"].split()[1]) as kit:
            eventually(lambda: kit.status().ready)
            assert kit.config.get("limit") == 7
            server.http.put(f"{CONFIG}/limit", params={**PLACE, "service_name": "_shared"}, json={"value": 8}, headers=admin)
            eventually(lambda: kit.config.get("limit") == 8)


def test_the_first_token_and_the_end_of_the_last_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with deployed() as server:
        assert server.kit.backends.tokens is not None
        caplog.clear()
        server.kit.backends.tokens.create(
            Token("only", "0" * 64, frozenset({"config:read"})),
            origin=Origin(),
        )
        # Nobody asks for anything: the change itself is told.
        eventually(lambda: "every request needs a token" in caplog.text)
        assert "only requests from this machine" not in caplog.text
        server.kit.backends.tokens.revoke("only", origin=Origin())
        eventually(lambda: "only requests from this machine are served" in caplog.text)


def test_a_token_registers_its_own_services_only() -> None:
    with deployed() as server:
        admin = server.token("admin")
        limited = server.token("registry:read", "registry:write", services=frozenset({"mine"}))
        for service, status in (("mine", 201), ("other", 403)):
            body = {"service_name": service, "service_url": "http://a:1", "instance_id": "i"}
            assert server.http.post(f"{REGISTRY}/register", json=body, headers=limited).status_code == status
            server.http.post(f"{REGISTRY}/register", json={**body, "ttl_seconds": 60}, headers=admin)
            expected = 200 if status == 201 else 403
            for path in ("heartbeat", "deregister"):
                who = {"service_name": service, "instance_id": "i"}
                assert server.http.post(f"{REGISTRY}/{path}", json=who, headers=limited).status_code == expected
            assert server.http.get(f"{REGISTRY}/discover/{service}", headers=limited).status_code == expected
        server.http.post(f"{REGISTRY}/register", json={"service_name": "mine", "service_url": "http://a:1"}, headers=admin)
        listed = server.http.get(f"{REGISTRY}/services", headers=limited).json()
        assert ([item["service_name"] for item in listed["items"]], listed["total"]) == (["mine"], 1)


def test_without_the_scope_for_secrets_they_are_masked_and_stay_secret() -> None:
    with deployed() as server:
        admin, plain = server.token("admin"), server.token("config:read", "config:write")
        server.create("s", "first", headers=admin)
        server.http.put(f"{CONFIG}/s", params=PLACE, json={"value": "canary", "is_encrypted": True}, headers=admin)
        shown = [
            server.http.get(f"{CONFIG}/s", params=PLACE, headers=plain),
            server.http.get(f"{CONFIG}/s", params={**PLACE, "version": 1}, headers=plain),
            server.http.get(CONFIG, params={"reveal": "true"}, headers=plain),
            server.http.get(f"{CONFIG}/s/history", params={**PLACE, "reveal": "true"}, headers=plain),
            server.http.post(f"{CONFIG}/bulk", json={**PLACE, "reveal": True}, headers=plain),
        ]
        for answer in shown:
            assert answer.status_code == 200
            assert "canary" not in answer.text
            assert "first" not in answer.text
            assert '"masked":true' in answer.text
        unmarked = server.http.put(f"{CONFIG}/s", params=PLACE, json={"value": "x", "is_encrypted": False}, headers=plain)
        assert problem(unmarked, 403)["required_scope"] == "secrets:read"
        rolled = server.http.post(f"{CONFIG}/s/rollback", params=PLACE, json={"version": 1}, headers=plain)
        assert problem(rolled, 403)["required_scope"] == "secrets:read"
        kept = server.http.put(f"{CONFIG}/s", params=PLACE, json={"value": "new"}, headers=plain)
        assert (kept.json()["is_encrypted"], kept.json()["value"]) == (True, None)
        reader = server.token("config:read", "secrets:read")
        assert server.http.get(f"{CONFIG}/s", params=PLACE, headers=reader).json()["value"] == "new"


def test_a_deletion_does_not_take_the_mark_from_a_secret(tmp_path: Path) -> None:
    for backends in (None, sqlite(tmp_path)):
        with deployed(backends) as server:
            admin, plain = server.token("admin"), server.token("config:read", "config:write")
            server.create("s", "first", headers=admin)
            item, body = f"{CONFIG}/s", {"key": "s", "value": "x", **PLACE}
            server.http.put(item, params=PLACE, json={"value": "canary", "is_encrypted": True}, headers=admin)
            for deleted in (False, True):
                if deleted:
                    assert server.http.delete(item, params=PLACE, headers=plain).status_code == 204
                answers = [
                    server.http.post(f"{item}/rollback", params=PLACE, json={"version": 1}, headers=plain),
                    server.http.post(CONFIG, json=body, headers=plain),
                ]
                for answer in answers:
                    assert problem(answer, 403)["required_scope"] == "secrets:read"
            again = server.http.post(CONFIG, json={**body, "is_encrypted": True}, headers=plain)
            assert (again.status_code, again.json()["is_encrypted"]) == (201, True)
            server.http.delete(item, params=PLACE, headers=admin)
            assert server.http.post(CONFIG, json=body, headers=admin).json()["is_encrypted"] is False
            assert server.http.post(CONFIG, json={**body, "key": "new"}, headers=plain).status_code == 201
