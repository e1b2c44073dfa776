"""The application alone, as a process, and inside another one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from configkit.client import ConfigKit
from configkit_server import TokenAuth, create_app, running
from configkit_server.serving import serving
from tests.directs import direct_server
from tests.server.deployment import (
    CONFIG,
    FLAGS,
    PLACE,
    REGISTRY,
    Deployed,
    deployed,
    new_deployment,
    sqlite,
    variables_of_a_new_deployment,
)
from tests.waiting import eventually


@contextmanager
def process(folder: Path, *arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run uvicorn on the module's application, with its data in *folder* or on the real servers, and give it with its URL."""
    with variables_of_a_new_deployment() as of_deployment, _process(folder, *arguments, **of_deployment, **variables) as running:
        yield running


@contextmanager
def _process(folder: Path, *arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONFIGKIT_") and name != "DATABASE_URL"}
    command = [sys.executable, "-m", "uvicorn", "configkit_server.main:app", "--port", str(port), *arguments]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, env={**kept, "XDG_DATA_HOME": str(folder), **variables}, stdout=log, stderr=log, text=True
        )
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(lambda: _is_live(server, url), timeout=20)
            yield server, url
        finally:
            server.kill()
            server.wait(10)


def _is_live(server: subprocess.Popen[str], url: str) -> bool:
    assert server.poll() is None, "the server ended"
    try:
        return httpx2.get(f"{url}/live", timeout=1).status_code == 200
    except httpx2.HTTPError:
        return False


def test_the_examples_of_the_documentation_are_answered(tmp_path: Path) -> None:
    with process(tmp_path) as (_, url), httpx2.Client(base_url=url, timeout=10) as http:
        plain = {"key": "model_path", "value": "/models/asr", "environment": "development", "service_name": "asr-service"}
        secret = {
            "key": "api_key",
            "value": "secret_key_123",
            "environment": "production",
            "service_name": "asr-service",
            "is_encrypted": True,
        }
        made = http.post(CONFIG, json=plain)
        assert (made.status_code, made.json()["value"], made.json()["version"]) == (201, "/models/asr", 1)
        hidden = http.post(CONFIG, json=secret)
        assert (hidden.status_code, hidden.json()["value"], hidden.json()["masked"]) == (201, None, True)
        decided = http.post(f"{FLAGS}/evaluate", json={"flag_name": "new_ui", "user_id": "u123", "environment": "development"})
        assert (decided.status_code, decided.json()["reason"]) == (200, "ERROR")
        body = {
            "service_name": "asr-service",
            "service_url": "http://asr-service:8087",
            "health_check_url": "http://asr-service:8087/health",
        }
        assert http.post(f"{REGISTRY}/register", json=body).status_code == 201
        assert http.get(f"{REGISTRY}/discover/asr-service").json() == {"items": [], "stale": False}
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"secret_key_123" not in file.read_bytes(), file


def test_the_log_of_a_process_has_no_query_strings(tmp_path: Path) -> None:
    with process(tmp_path) as (_, url):
        httpx2.get(f"{url}{CONFIG}/zqxj", params=PLACE)
        eventually(lambda: "/api/v1/config/{key} 404" in (tmp_path / "log").read_text())
    assert "zqxj" not in (tmp_path / "log").read_text()
    assert "service_name" not in (tmp_path / "log").read_text()


def test_a_process_with_an_open_stream_ends_when_told_to(tmp_path: Path) -> None:
    with (
        process(tmp_path) as (server, url),
        httpx2.Client(base_url=url, timeout=20) as http,
        http.stream("GET", "/api/v1/events") as stream,
    ):
        assert stream.status_code == 200
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert b"".join(stream.iter_raw()).startswith(b": configkit")
        assert server.wait(10) in (0, -signal.SIGTERM)
        assert time.monotonic() - began < 5
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_token_of_the_environment_closes_a_process(tmp_path: Path) -> None:
    with process(tmp_path, CONFIGKIT_TOKEN="of-the-environment") as (_, url):
        assert httpx2.get(f"{url}{CONFIG}").status_code == 401
        assert httpx2.get(f"{url}{CONFIG}", headers={"Authorization": "Bearer of-the-environment"}).status_code == 200
    assert "of-the-environment" not in (tmp_path / "log").read_text()


def test_health_checks_call_loopback_only_where_the_process_is_bound_to_it(tmp_path: Path) -> None:
    body = {"service_name": "a", "service_url": "http://127.0.0.1:9", "health_check_url": "http://127.0.0.1:9/"}
    for host, status in (("127.0.0.1", 201), ("0.0.0.0", 422)):
        folder = tmp_path / host
        folder.mkdir()
        with process(folder, "--host", host) as (_, url):
            assert httpx2.post(f"{url}{REGISTRY}/register", json=body).status_code == status


@pytest.mark.once(reason="it has no server")
def test_importing_the_module_opens_nothing(tmp_path: Path) -> None:
    code = "import configkit_server.main, os; print(os.listdir(os.environ['XDG_DATA_HOME']))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "XDG_DATA_HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_api_can_be_mounted_in_another_application() -> None:
    with new_deployment() as backends, ConfigKit(backends) as kit:
        api = create_app(kit, auth=TokenAuth(kit.backends.tokens))

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            async with running(api):
                yield

        host = Starlette(routes=[Mount("/settings", api)], lifespan=lifespan)
        with serving(host) as url, httpx2.Client(base_url=f"{url}/settings", timeout=10) as http:
            made = http.post(CONFIG, json={"key": "a", "value": 1, **PLACE})
            assert made.status_code == 201
            assert made.headers["location"].startswith("/settings/api/v1/config/a?")
            assert http.get(f"{CONFIG}/a", params=PLACE).json()["value"] == 1
            assert http.get(f"{CONFIG}/").json()["total"] == 1
            assert http.get("/nope").json()["type"].endswith(":no-such-path")
            assert httpx2.get(f"{url}/api/v1/config").status_code == 404


def test_a_mounted_api_begins_by_itself() -> None:
    with new_deployment() as backends, ConfigKit(backends) as kit:
        api = create_app(kit, auth=TokenAuth(kit.backends.tokens))
        try:
            with serving(Starlette(routes=[Mount("/settings", api)])) as url:
                assert httpx2.get(f"{url}/settings/live").status_code == 200
                assert httpx2.get(f"{url}/settings/ready").status_code == 200
        finally:
            import asyncio

            asyncio.run(api.state.configkit.stop())


def test_two_servers_of_one_deployment_tell_each_other(kind: str, tmp_path: Path) -> None:
    with variables_of_a_new_deployment() as variables:
        opened = [direct_server(variables) if kind == "direct" else sqlite(tmp_path) for _ in range(2)]
        with deployed(opened[0]) as one, deployed(opened[1]) as other:
            _tell_each_other(one, other)


def _tell_each_other(one: Deployed, other: Deployed) -> None:
    one.create("a", 1)
    assert other.http.get(f"{CONFIG}/a", params=PLACE).json()["value"] == 1
    changed = other.http.put(f"{CONFIG}/a", params=PLACE, json={"value": 2}).json()
    eventually(lambda: one.http.get(f"{CONFIG}/a", params=PLACE).json() == changed, timeout=3.0)
    other.http.post(FLAGS, json={"name": "f", "environment": "development", "is_enabled": True, "rollout_percentage": 100})
    question = {"flag_name": "f", "environment": "development"}
    eventually(lambda: one.http.post(f"{FLAGS}/evaluate", json=question).json()["enabled"], timeout=3.0)
