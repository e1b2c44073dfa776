"""Bodies that are none."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx2
import pytest

from configkit_server import Limits
from tests.server.deployment import CONFIG, FLAGS, PLACE, REGISTRY, Deployed, deployed, problem

MARK = "zqxj"
POSTS = [
    CONFIG,
    f"{CONFIG}/bulk",
    FLAGS,
    f"{FLAGS}/evaluate",
    f"{FLAGS}/evaluate/batch",
    f"{REGISTRY}/register",
    f"{REGISTRY}/deregister",
    f"{REGISTRY}/heartbeat",
]


def post(server: Deployed, path: str, body: bytes, content_type: str = "application/json") -> httpx2.Response:
    return server.http.post(path, content=body, headers={"Content-Type": content_type})


def unchanged(server: Deployed) -> bool:
    return bool(server.http.get(CONFIG).json()["total"] == 0 and server.http.get(FLAGS).json()["total"] == 0)


MALFORMED = {
    "empty": b"",
    "cut": b'{"key": "' + MARK.encode(),
    "not json": MARK.encode(),
    "100 000 brackets": b"[" * 100_000,
    "100 000 braces": b'{"a":' * 100_000,
    "nan": b'{"value": NaN}',
    "infinity": b'{"value": Infinity}',
    "minus infinity": b'{"value": -Infinity}',
    "1e999": b'{"value": 1e999}',
    "5 000 digits": b'{"value": ' + b"7" * 5000 + b"}",
    "duplicate keys": b'{"key": "zqxj", "key": "zqxj2"}',
    "duplicate keys inside": b'{"value": {"a": [{"zqxj": 1, "zqxj": 2}]}}',
    "lone surrogate": b'{"value": "\\ud800zqxj"}',
    "lone surrogate as a key": b'{"value": {"\\udfffzqxj": 1}}',
    "not utf-8": b'{"value": "zqxj\xff"}',
    "utf-16": '{"value": 1}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"value": 1}',
    "two documents": b'{"value": 1} {"value": 2}',
    "control character": b'{"value": "zqxj\x01"}',
    "single quotes": b"{'value': 1}",
}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_body_that_is_not_json_is_400(refusing: Deployed, path: str, body: bytes) -> None:
    answer = post(refusing, path, body)
    problem(answer, 400, "malformed-json")
    assert MARK not in answer.text
    assert unchanged(refusing)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", [b"[]", b"1", b'"zqxj"', b"null", b"true"])
def test_a_body_that_is_no_object_is_422(refusing: Deployed, path: str, body: bytes) -> None:
    answer = post(refusing, path, body)
    problem(answer, 422, "invalid")
    assert MARK not in answer.text


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "multipart/form-data",
        "application/jsonx",
        "",
    ],
)
def test_another_content_type_is_415(refusing: Deployed, content_type: str) -> None:
    body = json.dumps({"key": "a", "value": 1, **PLACE}).encode()
    problem(post(refusing, CONFIG, body, content_type), 415, "unsupported-media-type")
    assert unchanged(refusing)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", 'application/json; charset="utf-8"'],
)
def test_the_usual_spellings_of_json_are_accepted(server: Deployed, content_type: str) -> None:
    assert post(server, CONFIG, json.dumps({"key": "a", "value": 1, **PLACE}).encode(), content_type).status_code == 201


def test_a_compressed_body_is_415_and_is_not_inflated(server: Deployed) -> None:
    bomb = gzip.compress(b'{"value": "' + b"0" * 50_000_000 + b'"}')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    problem(server.http.post(CONFIG, content=bomb, headers=headers), 415, "unsupported-media-type")


def test_a_body_of_10_mb_is_413(server: Deployed) -> None:
    problem(post(server, CONFIG, b'{"value": "' + b"x" * 10_000_000 + b'"}'), 413, "too-large")
    assert unchanged(server)


def test_a_body_of_10_mb_in_chunks_is_413(server: Deployed) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(160):
            yield b"x" * 65536

    problem(server.http.post(CONFIG, content=chunks(), headers={"Content-Type": "application/json"}), 413, "too-large")
    assert unchanged(server)


def test_an_announced_size_beyond_the_limit_is_413_before_anything_is_sent(server: Deployed) -> None:
    request = f"POST {CONFIG} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_an_endless_body_does_not_keep_the_server(server: Deployed) -> None:
    request = f"POST {CONFIG} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request.encode())
        with suppress(OSError):
            while time.monotonic() - began < 20:
                connection.sendall(chunk)
    assert time.monotonic() - began < 20


def test_a_slow_body_is_408() -> None:
    with deployed(limits=Limits(body_seconds=0.3)) as server:
        request = f"POST {CONFIG} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
        answer = server.raw(request.encode())
    head, _, document = answer.partition(b"\r\n\r\n")
    assert b" 408 " in head.partition(b"\r\n")[0]
    assert json.loads(document)["type"].endswith(":slow-body")


def test_a_body_that_is_cut_off_changes_nothing(server: Deployed) -> None:
    body = json.dumps({"key": "a", "value": 1, **PLACE})
    request = f"POST {CONFIG} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body) + 10}\r\n\r\n{body}"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request.encode())
    assert server.http.get("/live").status_code == 200
    assert unchanged(server)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CONFIG, {"key": "a", "value": 1, **PLACE}),
        (FLAGS, {"name": "a", "environment": "development"}),
        (f"{FLAGS}/evaluate", {"flag_name": "a", "environment": "development"}),
        (f"{FLAGS}/evaluate/batch", {"environment": "development"}),
        (f"{REGISTRY}/register", {"service_name": "a", "service_url": "http://a:1"}),
        (f"{CONFIG}/bulk", PLACE),
    ],
)
@pytest.mark.parametrize("field", ["version", "changed_by", "created_at", "ever_secret", "status", "__class__"])
def test_an_unknown_field_is_422_and_named(refusing: Deployed, path: str, body: dict[str, object], field: str) -> None:
    document = problem(refusing.http.post(path, json={**body, field: MARK}), 422, "invalid")
    assert document["errors"] == [{"detail": "unknown field", "pointer": f"/{field}"}]
    assert unchanged(refusing)


def test_an_unknown_field_whose_name_may_be_a_secret_is_not_named(server: Deployed) -> None:
    answer = server.http.post(CONFIG, json={"key": "a", "value": 1, **PLACE, "zqxj-7": 1})
    assert problem(answer, 422, "invalid")["errors"] == [{"detail": "unknown field", "pointer": ""}]
    assert MARK not in answer.text


@pytest.mark.parametrize(
    ("value", "pointer"),
    [(None, "/value"), ("********", "/value"), ("x" * (512 * 1024), "/value")],
    ids=["null", "the mask", "too large"],
)
def test_a_value_that_is_none_is_422(server: Deployed, value: object, pointer: str) -> None:
    server.create("there", 1)
    created = server.http.post(CONFIG, json={"key": "a", "value": value, **PLACE})
    updated = server.http.put(f"{CONFIG}/there", params=PLACE, json={"value": value})
    for answer in (created, updated):
        assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == pointer
        assert "xxxxxxxx" not in answer.text
        assert "********" not in answer.text
    assert server.http.get(CONFIG).json()["total"] == 1
    assert server.http.get(f"{CONFIG}/there", params=PLACE).json()["version"] == 1


def test_a_value_nested_too_deeply_is_refused(server: Deployed) -> None:
    for depth in (65, 500, 5000):
        body = b'{"key":"a","environment":"development","service_name":"s","value":' + b"[" * depth + b"]" * depth + b"}"
        assert post(server, CONFIG, body).status_code in (400, 422)
    assert unchanged(server)


@pytest.mark.parametrize(
    "body",
    [
        {"key": 5, "value": 1, **PLACE},
        {"key": "a", "value": 1, **PLACE, "is_encrypted": "true"},
        {"key": "a", "value": 1, **PLACE, "is_encrypted": 1},
        {"key": "a..b", "value": 1, **PLACE},
        {"key": "a", "value": 1, "environment": "prod", "service_name": "s"},
        {"key": "a", "value": 1, "environment": "production", "service_name": "S"},
        {"key": "a", "value": 1, **PLACE, "comment": "x" * 1025},
        {"key": "a", "value": 1, **PLACE, "comment": "nul \x00"},
        {"value": 1, **PLACE},
        {"key": "a", **PLACE},
    ],
)
def test_a_field_of_another_type_is_422(refusing: Deployed, body: dict[str, object]) -> None:
    document = problem(refusing.http.post(CONFIG, json=body), 422, "invalid")
    assert document["errors"][0]["pointer"].startswith("/")
    assert unchanged(refusing)


@pytest.mark.parametrize(("path", "field"), [(f"{CONFIG}/bulk", "keys"), (f"{FLAGS}/evaluate/batch", "flag_names")])
def test_a_bulk_of_more_than_500_is_413(server: Deployed, path: str, field: str) -> None:
    names = [f"k{number}" for number in range(501)]
    body = {**(PLACE if field == "keys" else {"environment": "development"}), field: names}
    problem(server.http.post(path, json=body), 413, "too-large")
    assert server.http.post(path, json={**body, field: names[:500]}).status_code == 200
    problem(server.http.post(path, json={**body, field: ["k"] * 100_000}), 413, "too-large")


@pytest.mark.parametrize(
    "change",
    [
        {"rollout_percentage": 100.001},
        {"rollout_percentage": -0.001},
        {"rollout_percentage": 0.0001},
        {"rollout_percentage": "50"},
        {"rollout_percentage": True},
        {"target_users": "zqxj"},
        {"target_users": [1]},
        {"target_users": [""]},
        {"target_users": ["x" * 1025]},
        {"is_enabled": "yes"},
        {"description": "x" * 4097},
        {"description": 5},
        {"name": "other"},
        {"environment": "staging"},
        {"expected_version": 0},
    ],
)
def test_a_flag_that_breaks_a_rule_is_422_and_nothing_changes(server: Deployed, change: dict[str, object]) -> None:
    made = server.http.post(FLAGS, json={"name": "there", "environment": "development"}).json()
    updated = server.http.put(f"{FLAGS}/there", params={"environment": "development"}, json=change)
    problem(updated, 422, "invalid")
    assert MARK not in updated.text
    if change.keys() <= {"rollout_percentage", "target_users", "is_enabled", "description"}:
        problem(server.http.post(FLAGS, json={"name": "new", "environment": "development", **change}), 422, "invalid")
    assert server.http.get(FLAGS).json()["items"] == [made]


@pytest.mark.parametrize(
    "body",
    [
        {"environment": "development"},
        {"flag_name": "a"},
        {"flag_name": "a..b", "environment": "development"},
        {"flag_name": "", "environment": "development"},
        {"flag_name": "a", "environment": "nowhere"},
        {"flag_name": "a", "environment": "development", "user_id": 5},
        {"flag_name": "a", "environment": "development", "user_id": "x" * 1025},
        {"flag_name": "a", "environment": "development", "user_id": "x\x00"},
        {"flag_name": "a", "environment": "development", "context": []},
        {"flag_name": ["a"], "environment": "development"},
    ],
)
def test_a_question_that_breaks_a_rule_is_422(refusing: Deployed, body: dict[str, object]) -> None:
    problem(refusing.http.post(f"{FLAGS}/evaluate", json=body), 422, "invalid")
