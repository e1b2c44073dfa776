"""Liveness, readiness, health, metrics, and what every answer carries."""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from configkit.backends.memory import open_memory
from configkit.backends.sql import rotate_master_key
from configkit.errors import UnavailableError
from configkit.ports import Backends, ConfigStore
from configkit_server.wire.health import Health
from tests.server.deployment import CONFIG, FLAGS, PLACE, Deployed, deployed, problem, sqlite
from tests.waiting import eventually


def test_a_well_server_says_so(either: Deployed) -> None:
    assert either.http.get("/live").json() == {"status": "alive"}
    assert either.http.get("/ready").json() == {"status": "ready"}
    health = Health.model_validate(either.http.get("/health").json())
    assert health.status == "healthy"
    assert {"events", "registry"} < health.components.keys()


def _fails() -> None:
    raise UnavailableError("gone", backend="test", operation="ping")


@pytest.mark.once(reason="it brings a backend that is away")
def test_a_backend_that_is_away_is_named() -> None:
    backends = replace(open_memory(), ping={"memory": _fails, "other": lambda: None})
    with deployed(backends) as server:
        assert server.http.get("/live").status_code == 200
        ready = problem(server.http.get("/ready"), 503, "not-ready")
        assert ready["missing"] == ["memory"]
        answer = server.http.get("/health")
        assert answer.status_code == 503
        components = answer.json()["components"]
        assert (components["memory"]["status"], components["other"]["status"]) == ("unhealthy", "healthy")


@pytest.mark.once(reason="it brings a backend that is away")
def test_without_an_optional_backend_the_server_is_degraded_and_ready() -> None:
    backends = replace(open_memory(), ping={"memory": lambda: None, "cache": _fails}, optional=frozenset({"cache"}))
    with deployed(backends) as server:
        assert server.http.get("/ready").json() == {"status": "ready"}
        answer = server.http.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["components"]["cache"]["status"] == "degraded"


@pytest.mark.once(reason="it brings a backend that is away")
def test_a_backend_that_hangs_costs_its_deadline_and_no_more() -> None:
    release = threading.Event()
    backends = replace(open_memory(), ping={"memory": lambda: release.wait(60)})  # type: ignore[dict-item]
    with deployed(backends) as server:
        try:
            began = time.monotonic()
            assert server.http.get("/ready").status_code == 503
            assert time.monotonic() - began < 4
            assert server.http.get("/health").status_code == 503
            assert time.monotonic() - began < 4
            assert server.http.get("/live").status_code == 200
        finally:
            release.set()


class _Switch:
    """A store that can be away: then every call of it fails."""

    def __init__(self, store: ConfigStore) -> None:
        self._store = store
        self.away = False

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise UnavailableError("gone", backend="test", operation=name, nothing_changed=True)

        return fail if self.away else getattr(self._store, name)


def _switchable() -> tuple[Backends, _Switch]:
    backends = open_memory()
    switch = _Switch(backends.config)
    return replace(backends, config=cast("ConfigStore", switch)), switch


def _lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "configkit.access"]


@pytest.mark.once(reason="it brings a backend that is away")
def test_without_its_store_the_server_answers_503_and_known_values() -> None:
    backends, switch = _switchable()
    with deployed(backends) as server:
        server.create("known", 1)
        server.http.get(f"{CONFIG}/known", params=PLACE)
        switch.away = True
        assert server.http.get(f"{CONFIG}/known", params=PLACE).json()["value"] == 1
        for answer in (
            server.http.get(f"{CONFIG}/unknown", params=PLACE),
            server.http.get(CONFIG),
            server.http.post(CONFIG, json={"key": "a", "value": 1, **PLACE}),
            server.http.put(f"{CONFIG}/known", params=PLACE, json={"value": 2}),
            server.http.post(f"{CONFIG}/bulk", json={**PLACE, "keys": ["known", "unknown"]}),
            server.http.get(f"{CONFIG}/known", params=PLACE, headers={"Cache-Control": "no-cache"}),
        ):
            problem(answer, 503, "unavailable")
            assert answer.headers["retry-after"] == "1"


@pytest.mark.once(reason="it brings a backend that is away")
def test_what_was_unavailable_may_be_sent_again_with_the_same_key() -> None:
    backends, switch = _switchable()
    with deployed(backends) as server:
        switch.away = True
        request = {"json": {"key": "a", "value": 1, **PLACE}, "headers": {"Idempotency-Key": "k"}}
        problem(server.http.post(CONFIG, **request), 503)  # type: ignore[arg-type]
        switch.away = False
        assert server.http.post(CONFIG, **request).status_code == 201  # type: ignore[arg-type]


def test_metrics_count_by_route_and_know_nothing_of_callers(server: Deployed) -> None:
    server.create("a", 1)
    for key in ("a", "zqxj1", "zqxj2"):
        server.http.get(f"{CONFIG}/{key}", params=PLACE)
    server.http.get("/zqxj3")
    server.http.request("ZQXJ", CONFIG)
    text = server.http.get("/metrics").text
    assert 'configkit_http_requests_total{method="GET",route="/api/v1/config/{key}",status="200"} 1.0' in text
    assert 'configkit_http_requests_total{method="GET",route="/api/v1/config/{key}",status="404"} 2.0' in text
    assert 'configkit_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'configkit_http_request_duration_seconds_count{method="POST",route="/api/v1/config"} 1.0' in text
    assert "zqxj" not in text.lower()
    for line in text.splitlines():
        if line and not line.startswith("#"):
            assert line.startswith("configkit_")


@pytest.mark.parametrize("given", ["abc-123", "A" * 64, "0af7651916cd43dd8448eb211c80319c"])
def test_a_sane_request_id_is_kept(refusing: Deployed, given: str) -> None:
    assert refusing.http.get("/live", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "A" * 65, "a;b", "<x>", "-a", "a\tb"])
def test_another_request_id_is_replaced(refusing: Deployed, given: str) -> None:
    made = refusing.http.get("/nope", headers={"X-Request-ID": given}).headers["x-request-id"]
    assert made != given
    assert re.fullmatch(r"[0-9a-f]{16}", made)


def test_each_request_is_one_line_in_the_log(server: Deployed, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "configkit.access"):
        server.http.get(f"{CONFIG}/zqxj", params=PLACE, headers={"X-Request-ID": "line-1"})
        server.http.get("/live", headers={"X-Request-ID": "line-2"})
        # The line is written when the answer has been sent.
        lines = eventually(lambda: _lines(caplog)[1:] and _lines(caplog))
    assert re.fullmatch(r"line-1 loopback GET /api/v1/config/\{key\} 404 [0-9.]+ms", lines[0])
    assert re.fullmatch(r"line-2 - GET /live 200 [0-9.]+ms", lines[1])


def test_the_line_in_the_log_names_the_token(caplog: pytest.LogCaptureFixture) -> None:
    with deployed() as server, caplog.at_level(logging.INFO, "configkit.access"):
        headers = server.token("config:read", name="deployer")
        server.http.get(f"{CONFIG}/zqxj", params=PLACE, headers={**headers, "X-Request-ID": "line-1"})
        server.http.get(f"{CONFIG}/zqxj", params=PLACE, headers={"X-Request-ID": "line-2"})
        lines = eventually(lambda: [line for line in _lines(caplog) if line.startswith("line-")][1:] and _lines(caplog))
    assert [line.split(" GET")[0] for line in lines if line.startswith("line-")] == ["line-1 deployer", "line-2 -"]


@pytest.mark.once(reason="it is about the embedded file")
def test_another_master_key_than_the_files_is_503_and_named(tmp_path: Path) -> None:
    with deployed(sqlite(tmp_path)) as server:
        server.create("s", "canary", is_encrypted=True)
        assert server.http.get("/health").json()["components"]["secrets"]["status"] == "healthy"
        rotate_master_key(str(tmp_path / "configkit.db"), "a master key of the tests", "another key of the tests")
        read = server.http.get(f"{CONFIG}/s", params=PLACE, headers={"Cache-Control": "no-cache"})
        written = server.http.put(f"{CONFIG}/s", params=PLACE, json={"value": "more"})
        for answer in (read, written):
            document = problem(answer, 503, "master-key")
            assert "CONFIGKIT_MASTER_KEY" in document["detail"]
            assert str(tmp_path) not in answer.text
        eventually(lambda: server.http.get("/ready").status_code == 503)
        assert problem(server.http.get("/ready"), 503, "not-ready")["missing"] == ["secrets"]
        components = server.http.get("/health").json()["components"]
        assert (components["database"]["status"], components["secrets"]["status"]) == ("healthy", "unhealthy")
        assert "master key" in components["secrets"]["detail"]


def test_every_error_is_a_problem_document_that_is_not_stored(server: Deployed) -> None:
    for answer in (server.http.get("/nope"), server.http.get(f"{CONFIG}/a"), server.http.post(FLAGS, json=[])):
        problem(answer, answer.status_code)
        assert answer.headers["cache-control"] == "no-store"
