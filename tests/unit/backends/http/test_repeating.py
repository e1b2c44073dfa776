"""Requests that are sent again, and what they change only once."""

from __future__ import annotations

import time

import pytest

from configkit.errors import ConflictError, NotFoundError, UnavailableError
from configkit.models import ConfigPath, Origin
from tests.unit.backends.http.conftest import Connect, Serve
from tests.unit.backends.http.servers import Reply, Request, config_document

PATH = ConfigPath("development", "asr", "model_path")
ORIGIN = Origin("ann")


class Idempotent:
    """Carries out each Idempotency-Key once; what happens to the first answers is up to *spoil*."""

    def __init__(self, *spoil: str) -> None:
        self.spoil = list(spoil)
        self.done: dict[str, int] = {}

    def __call__(self, request: Request, reply: Reply) -> None:
        version = self.done.setdefault(request.headers["idempotency-key"], len(self.done) + 1)
        what = self.spoil.pop(0) if self.spoil else "answer"
        if what == "drop":
            reply.close()
        elif what == "cut":
            reply.send(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
            reply.close()
        elif what == "hang":
            reply.wait_for_the_other_end()
        elif what == "in flight":
            reply.problem(409, "in-flight")
        else:
            reply.json(201, config_document(version=version))


@pytest.mark.parametrize(
    "spoil", [("drop",), ("cut",), ("hang",), ("drop", "drop"), ("drop", "in flight", "in flight"), ("hang", "in flight")], ids=str
)
def test_a_creation_whose_answer_is_lost_is_made_once_and_reported(serve: Serve, connect: Connect, spoil: tuple[str, ...]) -> None:
    script = Idempotent(*spoil)
    server = serve(script)
    written = connect(server.url, deadline=2.0).config.create(PATH, "x", is_encrypted=False, origin=ORIGIN)
    assert written.version == 1
    assert len(script.done) == 1
    assert len(server.requests) == len(spoil) + 1
    assert len({request.body for request in server.requests}) == 1


def test_two_creations_have_two_keys(serve: Serve, connect: Connect) -> None:
    script = Idempotent()
    store = connect(serve(script).url).config
    versions = [store.create(PATH, "x", is_encrypted=False, origin=ORIGIN).version for _ in range(2)]
    assert versions == [1, 2]


def test_a_change_that_never_gets_an_answer_is_unavailable_after_three_tries(serve: Serve, connect: Connect) -> None:
    script = Idempotent(*["drop"] * 10)
    server = serve(script)
    with pytest.raises(UnavailableError):
        connect(server.url, deadline=2.0).config.create(PATH, "x", is_encrypted=False, origin=ORIGIN)
    assert (len(server.requests), len(script.done)) == (3, 1)


def test_a_change_that_stays_in_flight_is_unavailable_by_the_deadline_and_no_conflict(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.problem(409, "in-flight"))
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        connect(server.url, deadline=0.4).config.create(PATH, "x", is_encrypted=False, origin=ORIGIN)
    assert time.monotonic() - began < 1.0
    assert len(server.requests) > 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_refusal_is_not_asked_again(serve: Serve, connect: Connect, status: int) -> None:
    server = serve(lambda _, reply: reply.problem(status, "unavailable"))
    with pytest.raises(UnavailableError):
        connect(server.url).config.create(PATH, "x", is_encrypted=False, origin=ORIGIN)
    assert len(server.requests) == 1


def test_a_read_on_a_connection_that_the_server_closes_is_sent_again(serve: Serve, connect: Connect) -> None:
    def script(_: Request, reply: Reply) -> None:
        # The first and every third connection ends on its second request, without a word.
        if len(server.requests) == 2:
            reply.close()
        else:
            reply.json(200, config_document(version=len(server.requests)))

    server = serve(script)
    store = connect(server.url).config
    assert [store.read(PATH).version, store.read(PATH).version] == [1, 3]
    assert all("idempotency-key" not in request.headers for request in server.requests)


def test_a_read_is_sent_twice_at_most(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.close())
    with pytest.raises(UnavailableError):
        connect(server.url).config.read(PATH)
    assert len(server.requests) == 2


class Deletable:
    """A key at some version; every attempt to delete is preceded by as many foreign writes as told."""

    def __init__(self, version: int, *foreign_writes: int) -> None:
        self.version = version
        self.foreign_writes = list(foreign_writes)

    def __call__(self, request: Request, reply: Reply) -> None:
        tag = f'"asr:{self.version}"'
        if request.method == "DELETE":
            self.version += self.foreign_writes.pop(0) if self.foreign_writes else 0
            if request.headers["if-match"] != f'"asr:{self.version}"':
                reply.problem(412, "precondition-failed", current_version=self.version)
            else:
                reply.answer(204)
        elif request.path.endswith("/model_path"):
            assert request.headers["if-none-match"] == "*"
            reply.answer(304, headers={"ETag": tag})
        else:
            reply.json(200, {"items": [config_document(version=self.version, masked=True, value=None)], "total": 1})


def test_deleting_returns_the_version_that_was_deleted_whoever_writes_meanwhile(serve: Serve, connect: Connect) -> None:
    script = Deletable(3, 1, 1)
    assert connect(serve(script).url).config.delete(PATH, origin=ORIGIN) == 5


def test_deleting_another_version_than_expected_conflicts(serve: Serve, connect: Connect) -> None:
    server = serve(Deletable(3))
    with pytest.raises(ConflictError) as caught:
        connect(server.url).config.delete(PATH, origin=ORIGIN, expected_version=2)
    assert (caught.value.expected, caught.value.actual) == (2, 3)
    assert all(request.method == "GET" for request in server.requests)


def test_deleting_what_changes_at_the_last_moment_conflicts_where_a_version_is_expected(serve: Serve, connect: Connect) -> None:
    server = serve(Deletable(3, 1))
    with pytest.raises(ConflictError) as caught:
        connect(server.url).config.delete(PATH, origin=ORIGIN, expected_version=3)
    assert (caught.value.expected, caught.value.actual) == (3, 4)


def test_deleting_what_is_gone_in_between_is_not_found(serve: Serve, connect: Connect) -> None:
    def script(request: Request, reply: Reply) -> None:
        if request.path.endswith("/model_path") and len(server.requests) > 1:
            reply.problem(404, "not-found", deleted=True, version=3)
        elif request.path.endswith("/model_path"):
            reply.answer(304, headers={"ETag": '"asr:3"'})
        else:
            reply.json(200, {"items": [], "total": 0})

    server = serve(script)
    with pytest.raises(NotFoundError) as caught:
        connect(server.url).config.delete(PATH, origin=ORIGIN)
    assert (caught.value.deleted, caught.value.version) == (True, 3)


def test_deleting_for_ever_against_writers_ends_by_the_deadline(serve: Serve, connect: Connect) -> None:
    server = serve(Deletable(3, *[1] * 100_000))
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        connect(server.url, deadline=0.3).config.delete(PATH, origin=ORIGIN)
    assert time.monotonic() - began < 1.0
