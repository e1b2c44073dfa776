"""Keys and paths that are none."""

from __future__ import annotations

import json

import pytest

from tests.server.deployment import CONFIG, FLAGS, PLACE, REGISTRY, Deployed, problem

MARK = "zqxj"
"""Part of every refused name, to be found nowhere in the answer."""

KEYS = {
    "dots": f"{MARK}..x",
    "encoded dots": f"{MARK}%2e%2ex",
    "doubly encoded dots": f"{MARK}%252e%252ex",
    "encoded slash": f"{MARK}%2Fhistory",
    "encoded backslash": f"{MARK}%5Cx",
    "backslash": f"{MARK}\\x",
    "semicolon": f"{MARK};x",
    "encoded question mark": f"{MARK}%3Fx",
    "encoded hash": f"{MARK}%23x",
    "nul": f"{MARK}%00",
    "cr and lf": f"{MARK}%0d%0ax",
    "escape": f"{MARK}%1b",
    "invalid utf-8": f"{MARK}%ff%fe",
    "overlong utf-8": f"{MARK}%c0%ae%c0%ae",
    "look-alike": f"{MARK}%D0%B0",
    "zero-width": f"{MARK}%E2%80%8B",
    "space": f"{MARK}%20x",
    "trailing dot": f"{MARK}.",
    "leading dot": f".{MARK}",
    "percent": f"{MARK}%25",
    "4 KB": MARK * 1024,
}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_a_key_that_is_none_is_refused_and_not_shown(refusing: Deployed, method: str, key: str) -> None:
    query = "environment=development&service_name=asr-service"
    body = b'{"value":1}' if method == "PUT" else b""
    request = (
        f"{method} {CONFIG}/{key}?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = refusing.raw(request.encode() + body)
    head, _, document = answer.partition(b"\r\n\r\n")
    assert b" 422 " in head.partition(b"\r\n")[0], answer
    assert b"application/problem+json" in head
    assert json.loads(document)["errors"][0]["pointer"] == "/key"
    assert MARK.encode() not in answer
    assert refusing.http.get(CONFIG).json()["total"] == 0


@pytest.mark.parametrize(
    "path", ["//", "/a//b", "/a/b/c", "/../../metrics", "/a/../a", "/a/", "//history", "/a/history/x", "/a/rollback/1"]
)
def test_a_path_that_is_none_is_404(server: Deployed, path: str) -> None:
    server.create("a", 1)
    request = f"GET {CONFIG}{path}?environment=development&service_name=asr-service HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = server.raw(request.encode())
    head, _, document = answer.partition(b"\r\n\r\n")
    assert b" 404 " in head.partition(b"\r\n")[0], answer
    assert json.loads(document)["type"].startswith("urn:configkit:problem:")


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/api", "/api/v1", "/api/v2/config", "/live/x", f"{CONFIG}x", f"{REGISTRY}", "/api/v1/config%2Fbulk"]
)
def test_an_unknown_path_is_404_with_a_problem(refusing: Deployed, path: str) -> None:
    problem(refusing.http.get(path), 404, "no-such-path")


@pytest.mark.parametrize("name", ["%2e%2e", "-x", "a%00", "a%2Fb"])
def test_a_flag_name_and_a_service_name_that_are_none_are_refused(refusing: Deployed, name: str) -> None:
    problem(refusing.http.get(f"{FLAGS}/{name}?environment=development"), 422, "invalid")
    problem(refusing.http.get(f"{REGISTRY}/services/{name}"), 422, "invalid")
    problem(refusing.http.get(f"{REGISTRY}/discover/{name}"), 422, "invalid")


def test_names_are_case_sensitive(server: Deployed) -> None:
    server.create("Model", 1)
    problem(server.http.get(f"{CONFIG}/model", params=PLACE), 404, "not-found")
    problem(server.http.get(f"{CONFIG}/Model", params={**PLACE, "service_name": "ASR-service"}), 422)


def test_a_key_may_be_named_like_an_action(server: Deployed) -> None:
    for key in ("bulk", "history", "rollback"):
        server.create(key, key)
        assert server.http.get(f"{CONFIG}/{key}", params=PLACE).json()["value"] == key
        assert server.http.get(f"{CONFIG}/{key}/history", params=PLACE).json()["total"] == 1
    created = server.http.post(FLAGS, json={"name": "evaluate", "environment": "development"})
    assert created.status_code == 201
    assert server.http.get(f"{FLAGS}/evaluate", params={"environment": "development"}).json()["name"] == "evaluate"


def test_an_encoded_letter_is_the_letter(server: Deployed) -> None:
    server.create("model", 1)
    request = f"GET {CONFIG}/%6dodel?environment=development&service_name=asr-service HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert b'"value":1' in server.raw(request.encode())


@pytest.mark.parametrize("path", [CONFIG, FLAGS, f"{REGISTRY}/services", "/live", "/health", "/ready"])
def test_a_collection_answers_with_and_without_trailing_slash(server: Deployed, path: str) -> None:
    for each in (path, path + "/"):
        assert server.http.get(each, follow_redirects=False).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        f"{CONFIG}/a/?environment=development&service_name=s",
        f"{FLAGS}/a/?environment=development",
        f"{REGISTRY}/services/a/",
        f"{REGISTRY}/discover/a/",
    ],
)
def test_an_item_with_a_trailing_slash_is_404(refusing: Deployed, path: str) -> None:
    problem(refusing.http.get(path), 404, "no-such-path")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", CONFIG, "GET, POST"),
        ("POST", f"{CONFIG}/a", "DELETE, GET, PUT"),
        ("OPTIONS", f"{CONFIG}/bulk", "POST"),
        ("DELETE", "/live", "GET"),
        ("GET", f"{REGISTRY}/register", "POST"),
        ("TRACE", FLAGS, "GET, POST"),
    ],
)
def test_another_method_is_405_and_says_which_are_allowed(refusing: Deployed, method: str, path: str, allowed: str) -> None:
    answer = refusing.http.request(method, path)
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    "query",
    [
        "enviroment=development",
        "environment=development&environment=staging&service_name=s",
        "environment=nowhere&service_name=s",
        "environment=development",
        "environment=development&service_name=s&version=0",
        "environment=development&service_name=s&version=1e3",
        "environment=development&service_name=s&version=99999999999999999999",
        "environment=development&service_name=s&resolve=yes",
        "environment=%ff&service_name=s",
        "environment=development&service_name=..%2f..",
    ],
)
def test_a_query_that_breaks_a_rule_is_422(server: Deployed, query: str) -> None:
    server.create("a", 1, service_name="s")
    problem(server.http.get(f"{CONFIG}/a?{query}"), 422, "invalid")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=%D9%A1", "offset=-1", "limit=1&limit=2"]
)
@pytest.mark.parametrize("path", [CONFIG, FLAGS, f"{REGISTRY}/services"])
def test_a_limit_out_of_bounds_is_422(refusing: Deployed, path: str, query: str) -> None:
    problem(refusing.http.get(f"{path}?{query}"), 422, "invalid")


def test_more_keys_than_a_query_may_have_are_422(server: Deployed) -> None:
    assert server.http.get(CONFIG, params={"keys": [f"k{n}" for n in range(150)]}).status_code == 200
    problem(server.http.get(CONFIG, params={"keys": [f"k{n}" for n in range(151)]}), 422)
    problem(server.http.get(CONFIG, params={"keys": [f"k{n}" for n in range(1001)]}), 422)
