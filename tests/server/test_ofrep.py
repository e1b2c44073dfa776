"""OpenFeature's remote evaluation: its own answers, and its official providers asking."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, TypeMismatchError

from configkit_server import Limits
from tests.server.deployment import FLAGS, Deployed, deployed, problem
from tests.services import without

ONE = "/ofrep/v1/evaluate/flags/{}"
ALL = "/ofrep/v1/evaluate/flags"
PLACE = {"environment": "development"}
MADE: list[dict[str, Any]] = [
    {"name": "plain", "is_enabled": True, "rollout_percentage": 100},
    {"name": "share", "is_enabled": True, "rollout_percentage": 50},
    {
        "name": "theme",
        "is_enabled": True,
        "variants": {"light": "#fff", "dark": "#000"},
        "default_variant": "light",
        "rules": [
            {"name": "germans", "conditions": [{"attribute": "country", "operator": "in", "values": ["DE"]}], "variant": "dark"}
        ],
    },
    {"name": "limit", "is_enabled": True, "variants": {"low": 1, "high": 2.5}, "default_variant": "low"},
    {"name": "count", "is_enabled": True, "variants": {"low": 1, "high": 2}, "default_variant": "low"},
    {"name": "shape", "is_enabled": True, "variants": {"a": {"r": [1, 2]}}, "default_variant": "a"},
    {"name": "yours", "variants": {"a": "A"}, "default_variant": "a"},
    {"name": "beta", "kind": "segment", "target_users": ["ann"]},
]


def fill(server: Deployed, headers: dict[str, str] | None = None) -> None:
    for flag in MADE:
        answer = server.http.post(FLAGS, json={**PLACE, **flag}, headers=headers)
        assert answer.status_code == 201, answer.text


@pytest.fixture
def filled(either: Deployed) -> Deployed:
    fill(either)
    return either


def ask(server: Deployed, name: str, **context: Any) -> httpx2.Response:
    return server.http.post(ONE.format(name), json={"context": context})


def test_a_decision_has_key_value_reason_variant_and_metadata(filled: Deployed) -> None:
    answer = ask(filled, "theme", targetingKey="ann", country="DE")
    version = filled.http.get(f"{FLAGS}/theme", params=PLACE).json()["version"]
    assert answer.status_code == 200
    assert answer.json() == {
        "key": "theme",
        "value": "#000",
        "reason": "TARGETING_MATCH",
        "variant": "dark",
        "metadata": {"environment": "development", "version": version, "rule": "germans"},
    }


def test_numbers_are_floats_where_any_variant_is_one(filled: Deployed) -> None:
    assert '"value":1.0' in ask(filled, "limit").text
    assert '"value":1,' in ask(filled, "count").text.replace("}", ",")


def test_without_an_off_variant_the_callers_own_default_is_meant(filled: Deployed) -> None:
    answer = ask(filled, "yours").json()
    assert ("value" in answer, answer["reason"]) == (False, "DISABLED")


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("nobody", {"context": {}}, 404, "FLAG_NOT_FOUND"),
        ("beta", {"context": {}}, 404, "FLAG_NOT_FOUND"),
        ("..", {"context": {}}, 404, "FLAG_NOT_FOUND"),
        ("share", {"context": {}}, 400, "TARGETING_KEY_MISSING"),
        ("share", {}, 400, "TARGETING_KEY_MISSING"),
        ("share", {"context": {"targetingKey": 1.5}}, 400, "INVALID_CONTEXT"),
        ("share", {"context": [1]}, 400, "INVALID_CONTEXT"),
        ("share", {"context": {f"a{number}": number for number in range(10_000)}}, 400, "INVALID_CONTEXT"),
    ],
)
def test_failures_are_in_its_own_words(filled: Deployed, name: str, body: Any, status: int, code: str) -> None:
    answer = filled.http.post(ONE.format(name.replace(".", "%2e")), json=body)
    assert (answer.status_code, answer.json()["errorCode"]) == (status, code)
    assert answer.json()["errorDetails"]


@pytest.mark.parametrize("path", [ONE.format("plain"), ALL])
def test_a_body_that_is_no_json_is_a_parse_error(filled: Deployed, path: str) -> None:
    answer = filled.http.post(path, content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "PARSE_ERROR")


def test_all_flags_come_at_once_and_fail_each_for_itself(filled: Deployed) -> None:
    answer = filled.http.post(ALL, json={"context": {"country": "DE"}})
    assert answer.status_code == 200
    flags = {flag["key"]: flag for flag in answer.json()["flags"]}
    assert flags.keys() == {flag["name"] for flag in MADE} - {"beta"}
    assert flags["theme"]["value"] == "#000"
    assert flags["share"]["errorCode"] == "TARGETING_KEY_MISSING"
    stream = answer.json()["eventStreams"][0]
    assert stream["type"] == "sse"
    assert stream["url"] == f"{filled.url}/ofrep/v1/events?environment=development"


def test_the_tag_covers_flags_and_context(filled: Deployed) -> None:
    def again(context: dict[str, Any], tag: str) -> tuple[int, str]:
        answer = filled.http.post(ALL, json={"context": context}, headers={"If-None-Match": tag})
        return answer.status_code, answer.headers["etag"]

    german = {"targetingKey": "ann", "country": "DE"}
    _, tag = again(german, '"none"')
    assert again(german, tag) == (304, tag)
    assert again({**german, "country": "FR"}, tag)[0] == 200
    filled.http.put(f"{FLAGS}/plain", params=PLACE, json={"is_enabled": False})
    assert again(german, tag)[0] == 200


def test_the_environment_is_the_querys_the_headers_the_tokens_or_the_servers_own() -> None:
    with deployed() as server:
        admin = server.token("admin", "flags:write", "flags:read")
        for environment, share in (("development", 100), ("staging", 0)):
            flag = {"name": "f", "environment": environment, "is_enabled": True, "rollout_percentage": share}
            assert server.http.post(FLAGS, json=flag, headers=admin).status_code == 201
        limited = server.token("flags:read", environments=frozenset(("staging",)))

        def value(path: str = "", **headers: str) -> Any:
            return server.http.post(ONE.format("f") + path, json={"context": {}}, headers=headers).json()["value"]

        assert value(**admin) is True
        assert value("?environment=staging", **admin) is False
        assert value(**admin, **{"X-Environment": "staging"}) is False
        assert value(**limited) is False
        refused = server.http.post(ONE.format("f") + "?environment=development", json={"context": {}}, headers=limited)
        problem(refused, 403, "forbidden")
        unknown = server.http.post(ONE.format("f"), json={"context": {}}, headers={**admin, "X-Environment": "nowhere"})
        problem(unknown, 422, "invalid")


def test_credentials_and_scope_are_needed() -> None:
    with deployed() as server:
        writer = server.token("flags:write")
        for path in (ONE.format("f"), ALL):
            problem(server.http.post(path, json={"context": {}}), 401, "unauthenticated")
            problem(server.http.post(path, json={"context": {}}, headers=writer), 403, "forbidden")


def test_a_flood_is_429_with_retry_after() -> None:
    with deployed(limits=Limits(ofrep_per_second=2)) as server:
        answers = [server.http.post(ALL, json={"context": {}}) for _ in range(8)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 2 <= len(refused) <= 4
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_the_stream_says_when_to_ask_again_and_the_new_answer_is_there_by_then(filled: Deployed) -> None:
    told = threading.Event()
    values: list[Any] = []

    def listen() -> None:
        with filled.http.stream("GET", "/ofrep/v1/events", timeout=20) as answer:
            for line in answer.iter_lines():
                if line.startswith(": configkit"):
                    told.set()
                if line.startswith("data: "):
                    assert json.loads(line[6:]) == {"type": "refetchEvaluation"}
                    values.append(ask(filled, "plain").json()["value"])
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert told.wait(10)
    filled.http.put(f"{FLAGS}/plain", params=PLACE, json={"is_enabled": False})
    thread.join(20)
    assert values == [False]


# -- the official providers --------------------------------------------------------------------------------------------


@pytest.fixture
def guarded() -> Iterator[tuple[Deployed, str]]:
    """A server with credentials, the flags, and a token that reads them."""
    with deployed() as server:
        fill(server, server.token("admin", "flags:write"))
        yield server, server.token("flags:read")["Authorization"].removeprefix("Bearer ")


def test_the_official_python_provider(guarded: tuple[Deployed, str]) -> None:
    from openfeature.contrib.provider.ofrep import OFREPProvider

    server, token = guarded
    provider = OFREPProvider(server.url, headers_factory=lambda: {"Authorization": f"Bearer {token}"})
    ann = EvaluationContext("ann", {"country": "DE"})
    found = provider.resolve_string_details("theme", "none", ann)
    assert (found.value, found.variant, found.reason) == ("#000", "dark", "TARGETING_MATCH")
    assert found.flag_metadata["rule"] == "germans"
    assert provider.resolve_boolean_details("plain", False, ann).value is True
    assert provider.resolve_integer_details("count", 0, ann).value == 1
    assert provider.resolve_float_details("limit", 0.0, ann).value == 1.0
    assert provider.resolve_object_details("shape", {}, ann).value == {"r": [1, 2]}
    with pytest.raises(FlagNotFoundError):
        provider.resolve_boolean_details("nobody", True, ann)
    with pytest.raises(TypeMismatchError):
        provider.resolve_integer_details("theme", 7, ann)


JS = Path(__file__).parent / "ofrep_js"


def modules() -> Path:
    """Return a folder with the JavaScript providers, installed once for each list of them."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        without("Node.js and npm are needed for the JavaScript providers")
    key = sha256((JS / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "configkit-tests"
    folder = cache / f"ofrep-{key}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "ofrep.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            folder.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(JS / name, folder / name)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
            if done.returncode:
                without(f"npm could not install the JavaScript providers: {done.stderr[-300:]}")
            (folder / "installed").touch()
        shutil.copy(JS / "check.mjs", folder / "check.mjs")
    return folder


@pytest.mark.timeout(300)
def test_the_official_javascript_providers(guarded: tuple[Deployed, str]) -> None:
    server, token = guarded
    folder = modules()
    command = ["node", "check.mjs", server.url, token]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["web"] == {"before": "#fff", "value": "#000", "variant": "dark", "reason": "TARGETING_MATCH"}
    on_server = found["server"]
    assert on_server["boolean"] == {"value": True, "variant": "on", "reason": "STATIC"}
    assert on_server["string"] == {"value": "#000", "variant": "dark", "reason": "TARGETING_MATCH"}
    assert (on_server["number"]["value"], on_server["object"]["value"]) == (1, {"r": [1, 2]})
    for name, value, code in (
        ("missing", True, "FLAG_NOT_FOUND"),
        ("mismatch", 7, "TYPE_MISMATCH"),
        ("keyless", True, "TARGETING_KEY_MISSING"),
    ):
        assert (on_server[name]["value"], on_server[name]["errorCode"]) == (value, code)
