"""Which error each answer is, whoever gives it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from configkit.errors import (
    AccessDeniedError,
    ConfigKitError,
    ConflictError,
    InvalidDocumentError,
    NotFoundError,
    UnavailableError,
)
from configkit.models import ConfigPath, Origin
from tests.unit.backends.http.conftest import Connect, Serve
from tests.unit.backends.http.servers import Reply, config_document

PATH = ConfigPath("development", "asr", "model_path")
ORIGIN = Origin("ann")
HTML = {"Content-Type": "text/html"}


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "bad-request", InvalidDocumentError),
        (401, "unauthenticated", AccessDeniedError),
        (403, "forbidden", AccessDeniedError),
        (404, "not-found", NotFoundError),
        (404, "no-such-path", UnavailableError),
        (405, "method-not-allowed", UnavailableError),
        (408, "slow-body", UnavailableError),
        (409, "conflict", ConflictError),
        (409, "idempotency-replay-gone", UnavailableError),
        (412, "precondition-failed", ConflictError),
        (413, "too-large", InvalidDocumentError),
        (415, "unsupported-media-type", InvalidDocumentError),
        (422, "invalid", InvalidDocumentError),
        (429, "too-many-requests", UnavailableError),
        (500, "internal", UnavailableError),
        (503, "unavailable", UnavailableError),
    ],
)
def test_a_problem_of_the_server_is_the_error_it_names(
    serve: Serve, connect: Connect, status: int, kind: str, error: type[ConfigKitError]
) -> None:
    server = serve(lambda _, reply: reply.problem(status, kind))
    with pytest.raises(error, match="the detail") as caught:
        connect(server.url).config.read(PATH)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, UnavailableError),
        (204, UnavailableError),
        (301, UnavailableError),
        (302, UnavailableError),
        (304, UnavailableError),
        (400, UnavailableError),
        (401, AccessDeniedError),
        (403, AccessDeniedError),
        (404, UnavailableError),
        (409, UnavailableError),
        (412, UnavailableError),
        (413, InvalidDocumentError),
        (422, UnavailableError),
        (502, UnavailableError),
        (504, UnavailableError),
    ],
)
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"<html>Not Found</html>", HTML),
        (b'{"type": "https://example.org/not-found"}', {"Content-Type": "application/problem+json"}),
        (b'{"type": "urn:configkit:problem:not-found"}', {"Content-Type": "application/json"}),
        (b"[]", {"Content-Type": "application/problem+json"}),
        (b"", {}),
    ],
)
def test_what_a_proxy_answers_is_never_taken_for_missing_or_a_conflict(
    serve: Serve, connect: Connect, status: int, error: type[ConfigKitError], body: bytes, headers: dict[str, str]
) -> None:
    server = serve(lambda _, reply: reply.answer(status, b"" if status in (204, 304) else body, headers))
    with pytest.raises(error) as caught:
        connect(server.url).config.read(PATH)
    assert type(caught.value) is error


def test_a_redirect_is_not_followed(serve: Serve, connect: Connect) -> None:
    target = serve(lambda _, reply: reply.json(200, config_document()))
    server = serve(lambda _, reply: reply.answer(307, b"", {"Location": f"{target.url}/api/v1/config/model_path"}))
    with pytest.raises(UnavailableError, match="redirects are not followed"):
        connect(server.url, token="secret-token").config.read(PATH)
    assert target.requests == []


def test_a_deleted_key_tells_its_version(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.problem(404, "not-found", deleted=True, version=7))
    with pytest.raises(NotFoundError) as caught:
        connect(server.url).config.read(PATH)
    assert (caught.value.deleted, caught.value.version) == (True, 7)


def test_a_conflict_tells_what_was_expected_and_what_is_there(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.problem(412, "precondition-failed", current_version=5))
    with pytest.raises(ConflictError) as caught:
        connect(server.url).config.update(PATH, "x", origin=ORIGIN, expected_version=3)
    assert (caught.value.expected, caught.value.actual) == (3, 5)


def test_invalid_input_names_the_first_rule_and_its_field(serve: Serve, connect: Connect) -> None:
    errors = [{"detail": "a whole number", "pointer": "/weight"}, {"detail": "other", "pointer": "/zone"}]
    server = serve(lambda _, reply: reply.problem(422, "invalid", errors=errors))
    with pytest.raises(InvalidDocumentError) as caught:
        connect(server.url).config.create(PATH, 1, is_encrypted=False, origin=ORIGIN)
    assert (caught.value.detail, caught.value.pointer) == ("a whole number", "/weight")


@pytest.mark.parametrize(
    "errors",
    [None, [], ["text"], [{}], {"detail": 1}, [{"detail": None, "pointer": None}]],
    ids=["null", "none", "text", "empty", "object", "nulls"],
)
def test_a_strange_list_of_errors_is_still_invalid_input(serve: Serve, connect: Connect, errors: object) -> None:
    server = serve(lambda _, reply: reply.problem(422, "invalid", errors=errors))
    with pytest.raises(InvalidDocumentError, match="the detail"):
        connect(server.url).config.read(PATH)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "3"},
        {"version": True},
        {"masked": None},
        {"created_at": "yesterday"},
        {"updated_at": "2026-01-02T00:00:00"},
        {"environment": "../etc"},
        {"key": None},
        {"ever_secret": "no"},
    ],
    ids=str,
)
def test_a_body_that_is_not_as_documented_is_unavailable(serve: Serve, connect: Connect, change: dict[str, object]) -> None:
    server = serve(lambda _, reply: reply.json(200, config_document(**change)))
    with pytest.raises(UnavailableError, match="not as documented"):
        connect(server.url).config.read(PATH)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"3", b"\xff\xfe", b"[" * 100_000, b'{"version": ' + b"9" * 5000 + b"}"], ids=range(7)
)
def test_a_body_that_is_no_json_object_is_unavailable(serve: Serve, connect: Connect, body: bytes) -> None:
    server = serve(lambda _, reply: reply.answer(200, body, {"Content-Type": "application/json"}))
    with pytest.raises(UnavailableError):
        connect(server.url).config.read(PATH)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
        b"",
    ],
    ids=["ssh", "cut", "length", "headers", "nothing"],
)
def test_what_is_no_http_is_unavailable(serve: Serve, connect: Connect, answer: bytes) -> None:
    def script(_: object, reply: Reply) -> None:
        reply.send(answer)
        reply.close()

    with pytest.raises(UnavailableError):
        connect(serve(script).url).config.read(PATH)


def test_an_endless_body_is_cut(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("configkit.backends.http.transport.MAX_BYTES", 1024 * 1024)

    def script(_: object, reply: Reply) -> None:
        reply.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while reply.send(b"x" * 65536):
            pass
        reply.close()

    with pytest.raises(UnavailableError, match="larger than 1 MiB"):
        connect(serve(script).url).config.read(PATH)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8082",
        "ftp://host",
        "http://user:pw@host",
        "http://host?x=1",
        "http://",
        "http://host:0",
        "http://ho st",
        "http://[1]/",
    ],
)
def test_a_malformed_address_is_refused_and_names_the_field(connect: Connect, url: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        connect(url)
    assert caught.value.pointer == "/url"


@pytest.mark.parametrize("host", ["a..b", "a" * 300], ids=["empty label", "long label"])
def test_a_host_that_cannot_be_found_is_unavailable(connect: Connect, host: str) -> None:
    with pytest.raises(UnavailableError):
        connect(f"http://{host}:8082").config.read(PATH)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "umläut"])
def test_a_malformed_token_is_refused_without_showing_it(connect: Connect, token: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        connect("http://127.0.0.1:1", token=token)
    assert caught.value.pointer == "/token"
    assert not token or token not in str(caught.value)


def test_the_token_goes_along_and_is_in_no_text(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.problem(503, "unavailable"))
    backends = connect(server.url, token="canary-4711")
    with pytest.raises(UnavailableError) as caught:
        backends.config.read(PATH)
    assert server.requests[0].headers["authorization"] == "Bearer canary-4711"
    assert server.requests[0].headers["user-agent"].startswith("configkit/")
    assert "canary-4711" not in f"{caught.value!r} {caught.value} {backends!r}"


def test_no_proxy_is_taken_from_the_environment(serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(lambda _, reply: reply.answer(502))
    server = serve(lambda _, reply: reply.json(200, config_document()))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert connect(server.url).config.read(PATH).version == 3
    assert proxy.requests == []


def test_the_path_of_the_address_comes_first(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.json(200, config_document()))
    connect(f"{server.url}/behind/a/proxy/").config.read(PATH)
    assert server.requests[0].path == "/behind/a/proxy/api/v1/config/model_path"


def test_a_server_that_is_alive_answers_a_ping(serve: Serve, connect: Connect) -> None:
    alive: list[Callable[[Reply], None]] = [lambda reply: reply.json(200, {"status": "alive"})]
    server = serve(lambda _, reply: alive[0](reply))
    ping = connect(server.url).ping["server"]
    ping()
    assert server.requests[0].path == "/live"
    alive[0] = lambda reply: reply.answer(500)
    with pytest.raises(UnavailableError):
        ping()
