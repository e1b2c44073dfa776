"""The server's parts on their own, time included."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from configkit import tokens
from configkit.errors import UnavailableError
from configkit.models import ConfigPath
from configkit_server import ProblemError, etags
from configkit_server.call import Call
from configkit_server.encoded import EncodedDocuments
from configkit_server.executor import Executor
from configkit_server.floods import Buckets
from configkit_server.pings import Pings
from configkit_server.router import Router, raw_path
from configkit_server.table import OPERATIONS
from configkit_server.wire.config import ConfigUpdate
from configkit_server.wire.flags import FlagCreate, FlagUpdate
from configkit_server.wire.registry import Register
from tests.server.deployment import CONFIG, PLACE, Deployed, problem


@pytest.mark.once(reason="it has no server")
def test_a_secret_of_a_token_is_long_and_only_its_digest_is_comparable() -> None:
    made = {tokens.new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(secret.startswith("ck_") and len(secret) == 46 for secret in made)
    assert tokens.digest("ck_x") == "9e3feed2f68ba61df273f9c0fee14fc9e79bbcdf6d7409ad0c8c81af338f0b78"


@pytest.mark.once(reason="it has no server")
def test_a_bucket_gives_its_burst_then_its_rate_and_is_each_callers_own() -> None:
    now = 0.0
    buckets = Buckets(rate=2.0, burst=3, clock=lambda: now)
    for _ in range(3):
        buckets.take("a")
    with pytest.raises(ProblemError):
        buckets.take("a")
    buckets.take("b")
    now = 0.5
    buckets.take("a")
    with pytest.raises(ProblemError):
        buckets.take("a")
    now = 100.0
    for _ in range(3):
        buckets.take("a")
    with pytest.raises(ProblemError):
        buckets.take("a")


@pytest.mark.once(reason="it has no server")
def test_buckets_forget_the_least_recent_caller() -> None:
    buckets = Buckets(rate=1.0, burst=1, callers=2, clock=lambda: 0.0)
    for caller in ("a", "b", "c", "a"):
        buckets.take(caller)
    with pytest.raises(ProblemError):
        buckets.take("a")


@pytest.mark.parametrize(
    ("given", "versions"),
    [
        ("*", None),
        ('"s:1"', {1}),
        ('"s:1", "s:22:masked"', {1, 22}),
        (' "s:1" ,"x:2"', {1}),
        ('W/"s:1"', set()),
        ('"s:0"', set()),
        ('"s:1:other"', set()),
        ("s:1", set()),
        ('"s:1', set()),
        ('"s:1" "s:2"', set()),
        ('"s:' + "9" * 5000 + '"', set()),
        ("", set()),
    ],
)
@pytest.mark.once(reason="it has no server")
def test_if_match_names_versions_of_its_layer(given: str, versions: set[int] | None) -> None:
    assert etags.expected_versions(given, "s") == versions


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v1/config", "listConfig"),
        ("/api/v1/config/", "listConfig"),
        ("/api/v1/config/a", "readConfig"),
        ("/api/v1/config/bulk", "readConfig"),
        ("/api/v1/config/history/history/", "readConfigHistory"),
        ("/api/v1/config/bulk/history", "readConfigHistory"),
        ("/api/v1/feature-flags/evaluate", "readFlag"),
        ("/api/v1/registry/services/a/url/", "chooseInstance"),
    ],
)
@pytest.mark.once(reason="it has no server")
def test_a_raw_path_leads_to_its_operation(path: str, name: str) -> None:
    assert Router(OPERATIONS).find("GET", path.encode())[0].name == name


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "/api/v1/config//",
        "/api/v1/config/a/",
        "/api/v1/config/bulk/",
        "/api/v1/feature-flags/evaluate/batch/x",
        "api/v1/config",
    ],
)
@pytest.mark.once(reason="it has no server")
def test_a_raw_path_that_is_none_leads_nowhere(path: str) -> None:
    with pytest.raises(ProblemError) as caught:
        Router(OPERATIONS).find("GET", path.encode())
    assert caught.value.kind.status in (404, 405)


@pytest.mark.once(reason="it has no server")
def test_the_raw_path_is_below_where_the_application_is_mounted() -> None:
    assert raw_path({"raw_path": b"/in/live", "root_path": "/in", "path": "/in/live"}) == b"/live"
    assert raw_path({"raw_path": b"/inner/live", "root_path": "/in", "path": "/inner/live"}) == b"/inner/live"
    assert raw_path({"path": "/api/a%b\x00"}) == b"/api/a%25b%00"


@pytest.mark.once(reason="it has no server")
def test_a_call_that_does_not_return_is_given_up_at_its_deadline() -> None:
    release = threading.Event()

    async def scene() -> float:
        executor = Executor(workers=1, waiting=0, deadline=0.2)
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            await executor.run(release.wait, 30)
        took = time.monotonic() - began
        with pytest.raises(UnavailableError):
            await executor.run(lambda: None)
        release.set()
        executor.close()
        return took

    assert asyncio.run(scene()) < 1.0


def test_a_call_that_has_begun_is_waited_for_and_one_that_has_not_never_runs() -> None:
    release, ran = threading.Event(), threading.Event()

    async def scene() -> None:
        executor = Executor(workers=1, deadline=0.05)
        first = asyncio.create_task(executor.run_to_end(release.wait, 30))
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError):
            await executor.run_to_end(ran.set)
        assert not first.done()
        release.set()
        assert await first
        executor.close()

    asyncio.run(scene())
    assert not ran.is_set()


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (FlagCreate, {"target_users": [""] * 300_000}),
        (FlagUpdate, {"target_users": [1] * 300_000}),
        (FlagCreate, {f"f{number}": 1 for number in range(90_000)}),
        (Register, {"metadata": {f"f{number}": 1 for number in range(90_000)}}),
    ],
)
def test_of_a_body_full_of_mistakes_few_are_built(model: type[BaseModel], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    assert caught.value.error_count() < 10


def test_a_large_body_is_taken_apart_beside_the_event_loop() -> None:
    async def scene() -> int:
        parsing = Executor(workers=1)
        call = Call({"type": "http"}, _nothing, {}, "", frozenset(), parsing)
        call.body = b'{"value": [%b]}' % b",".join([b"1"] * 200_000)
        work, turns = asyncio.create_task(call.model(ConfigUpdate)), 0
        while not work.done():
            await asyncio.sleep(0)
            turns += 1
        assert len((await work).value) == 200_000
        parsing.close()
        return turns

    assert asyncio.run(scene()) > 2


async def _nothing() -> Any:
    return {"type": "http.disconnect"}


@pytest.mark.once(reason="it has no server")
def test_backends_are_not_asked_more_often_than_twice_a_second() -> None:
    asked: list[int] = []

    async def scene() -> None:
        executor = Executor(workers=2)
        pings = Pings({"one": lambda: asked.append(1)}, executor)
        answers = await asyncio.gather(*(pings.ask(1.0) for _ in range(50)))
        assert all(answer["one"].error is None for answer in answers)
        await pings.ask(1.0)
        executor.close()

    asyncio.run(scene())
    assert len(asked) == 1


@pytest.mark.parametrize(
    "key",
    [
        "a..b",
        "a/b",
        "a\\b",
        "a b",
        "a;b",
        "a?b",
        "a#b",
        "a\x00",
        "a\r\nb",
        "a\x1b",
        "ключ",
        "a\u200bb",
        "\uff41",
        "a%2e",
        "",
        ".",
        "-a",
        "a-",
        "a" * 256,
    ],
)
def test_a_key_in_a_body_is_held_to_the_same_rule(refusing: Deployed, key: str) -> None:
    document = problem(refusing.http.post(CONFIG, json={"key": key, "value": 1, **PLACE}), 422, "invalid")
    assert document["errors"][0]["pointer"] == "/key"
    assert refusing.http.get(CONFIG).json()["total"] == 0


def test_the_encoded_form_follows_the_document_and_is_bounded(server: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("configkit_server.encoded.MAX_BYTES", 2000)
    encoded = EncodedDocuments()
    for number in range(50):
        server.create(f"k{number}", "x" * 100)
        document = server.kit.documents.read(_path(f"k{number}"))
        assert encoded.of(document).body == encoded.of(document).body
        assert encoded.of(document) is encoded.of(document)
    assert encoded._bytes <= 2500
    before = encoded.of(server.kit.documents.read(_path("k1"))).tag
    server.http.put(f"{CONFIG}/k1", params=PLACE, json={"value": 2})
    assert encoded.of(server.kit.documents.read(_path("k1"))).tag != before


def _path(key: str) -> ConfigPath:
    return ConfigPath("development", "asr-service", key)
