"""Mutations that are sent twice and carried out once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from configkit.errors import UnavailableError
from configkit.models import ConfigVersion
from configkit.ports import Outcome
from tests.server.deployment import CONFIG, FLAGS, PLACE, REGISTRY, Deployed, deployed, problem, sqlite
from tests.waiting import eventually


def keyed(key: str = "k-1") -> dict[str, str]:
    return {"Idempotency-Key": key}


def test_a_creation_sent_twice_is_carried_out_once_and_answered_alike(either: Deployed) -> None:
    body = {"key": "a", "value": 1, **PLACE, "comment": "c"}
    first = either.http.post(CONFIG, json=body, headers=keyed())
    again = either.http.post(CONFIG, json=body, headers=keyed())
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (first.headers["etag"], first.headers["location"]) == (again.headers["etag"], again.headers["location"])
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


def test_changes_and_deletions_sent_twice_are_carried_out_once(either: Deployed) -> None:
    either.create("a", "one")
    item = f"{CONFIG}/a"
    for _ in range(2):
        assert either.http.put(item, params=PLACE, json={"value": "two"}, headers=keyed("put")).json()["version"] == 2
    for _ in range(2):
        rolled = either.http.post(f"{item}/rollback", params=PLACE, json={"version": 1}, headers=keyed("roll")).json()
        assert (rolled["version"], rolled["value"]) == (3, "one")
    for _ in range(2):
        assert either.http.delete(item, params=PLACE, headers=keyed("delete")).status_code == 204
    assert either.http.get(f"{item}/history", params=PLACE).json()["total"] == 3


def test_flags_and_registrations_sent_twice_are_carried_out_once(either: Deployed) -> None:
    place = {"environment": "development"}
    for _ in range(2):
        assert either.http.post(FLAGS, json={"name": "f", **place}, headers=keyed("create")).json()["version"] == 1
    for _ in range(2):
        assert either.http.put(f"{FLAGS}/f", params=place, json={"is_enabled": True}, headers=keyed("put")).json()["version"] == 2
    for _ in range(2):
        assert either.http.delete(f"{FLAGS}/f", params=place, headers=keyed("delete")).status_code == 204
    body = {"service_name": "s", "service_url": "http://s:1", "instance_id": "i", "ttl_seconds": 60}
    for _ in range(2):
        answer = either.http.post(f"{REGISTRY}/register", json=body, headers=keyed("register"))
        assert (answer.status_code, answer.json()["instance_id"]) == (201, "i")
    for _ in range(2):
        assert (
            "expires_at"
            in either.http.post(
                f"{REGISTRY}/heartbeat", json={"service_name": "s", "instance_id": "i"}, headers=keyed("beat")
            ).json()
        )
    for _ in range(2):
        answer = either.http.post(f"{REGISTRY}/deregister", json={"service_name": "s", "instance_id": "i"}, headers=keyed("leave"))
        assert answer.json() == {"status": "ok"}


def test_the_same_key_for_another_request_is_422(either: Deployed) -> None:
    body = {"key": "a", "value": 1, **PLACE}
    either.http.post(CONFIG, json=body, headers=keyed())
    problem(either.http.post(CONFIG, json={**body, "value": 2}, headers=keyed()), 422, "idempotency-key-reused")
    problem(either.http.post(CONFIG, json={**body, "key": "b"}, headers=keyed()), 422, "idempotency-key-reused")
    problem(either.http.delete(f"{CONFIG}/a", params=PLACE, headers=keyed()), 422, "idempotency-key-reused")
    assert either.http.get(CONFIG).json()["items"][0]["value"] == 1


def test_a_refusal_is_kept_and_bad_input_is_not(either: Deployed) -> None:
    either.create("a", 1)
    body = {"key": "a", "value": 2, **PLACE}
    problem(either.http.post(CONFIG, json=body, headers=keyed()), 409, "conflict")
    either.http.delete(f"{CONFIG}/a", params=PLACE)
    again = either.http.post(CONFIG, json=body, headers=keyed())
    assert problem(again, 409, "conflict")["current_version"] == 1
    assert again.headers["idempotent-replayed"] == "true"
    problem(either.http.post(CONFIG, json={**body, "key": "a..b"}, headers=keyed("bad")), 422, "invalid")
    assert either.http.post(CONFIG, json={**body, "key": "b"}, headers=keyed("bad")).status_code == 201


def test_an_answer_that_cannot_be_rebuilt_says_so(server: Deployed) -> None:
    body = {"key": "a", "value": 1, **PLACE}
    server.http.post(CONFIG, json=body, headers=keyed())
    server.http.delete(f"{CONFIG}/a", params=PLACE)
    again = server.http.post(CONFIG, json=body, headers=keyed())
    problem(again, 409, "idempotency-replay-gone")
    assert again.headers["idempotent-replayed"] == "true"


def test_a_secret_is_masked_in_the_repeated_answer_too(either: Deployed) -> None:
    body = {"key": "a", "value": "canary", **PLACE, "is_encrypted": True}
    for _ in range(2):
        answer = either.http.post(CONFIG, json=body, headers=keyed())
        assert (answer.status_code, answer.json()["value"], answer.json()["masked"]) == (201, None, True)


def test_callers_do_not_share_their_keys() -> None:
    with deployed() as server:
        one, other = server.token("config:write"), server.token("config:write")
        body = {"key": "a", "value": 1, **PLACE}
        assert server.http.post(CONFIG, json=body, headers={**one, **keyed()}).status_code == 201
        assert server.http.post(CONFIG, json={**body, "key": "b"}, headers={**other, **keyed()}).status_code == 201


@pytest.mark.parametrize("key", ["a b", "x" * 256, "ä"])
def test_a_key_that_is_none_is_422(server: Deployed, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    problem(server.http.post(CONFIG, json={"key": "a", "value": 1, **PLACE}, headers=headers), 422, "invalid")
    assert server.http.get(CONFIG).json()["total"] == 0


def test_an_empty_key_is_400(server: Deployed) -> None:
    answer = server.http.post(CONFIG, json={"key": "a", "value": 1, **PLACE}, headers={"Idempotency-Key": ""})
    problem(answer, 400, "bad-request")
    assert server.http.get(CONFIG).json()["total"] == 0


def test_of_many_at_once_one_is_carried_out_and_the_others_wait_or_repeat_it(either: Deployed) -> None:
    either.create("n", 0)
    barrier = threading.Barrier(8)

    def send(_: int) -> tuple[int, int | None]:
        barrier.wait()
        answer = either.http.put(f"{CONFIG}/n", params=PLACE, json={"value": 1}, headers=keyed("once"))
        return answer.status_code, answer.json().get("version")

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(send, range(8)))
    assert answers <= {(200, 2), (409, None)}
    assert (200, 2) in answers
    assert either.http.get(f"{CONFIG}/n/history", params=PLACE).json()["total"] == 2


class Lock:
    """Another program that holds the write lock of the database for a while."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "configkit.db", isolation_level=None, timeout=0, check_same_thread=False)

    def take(self) -> None:
        eventually(self._taken)

    def _taken(self) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True

    def release(self) -> None:
        self._connection.execute("ROLLBACK")


@contextmanager
def locked(folder: Path) -> Iterator[Lock]:
    lock = Lock(folder)
    try:
        yield lock
    finally:
        lock._connection.close()


def write(server: Deployed, key: str = "k-1") -> httpx2.Response:
    return server.http.put(f"{CONFIG}/a", params=PLACE, json={"value": 2}, headers=keyed(key))


def versions(server: Deployed) -> int:
    total: int = server.http.get(f"{CONFIG}/a/history", params=PLACE).json()["total"]
    return total


def test_an_outcome_that_could_not_be_recorded_is_answered_from_memory_until_it_is(tmp_path: Path) -> None:
    backends = sqlite(tmp_path, deadline=0.3)
    store = backends.idempotency
    assert store is not None
    with deployed(backends) as server, locked(tmp_path) as lock:
        server.create("a", 1)
        finish, tried = store.finish, threading.Semaphore(0)

        def finish_locked(key: str, outcome: Outcome | None) -> None:
            if not taken.is_set():
                taken.set()
                lock.take()
            try:
                finish(key, outcome)
            finally:
                tried.release()

        taken = threading.Event()
        store.finish = finish_locked  # type: ignore[method-assign]
        assert write(server).json()["version"] == 2
        for _ in range(2):
            assert tried.acquire(timeout=5)
        again = write(server)
        assert (again.status_code, again.json()["version"]) == (200, 2)
        assert again.headers["idempotent-replayed"] == "true"
        other = server.http.put(f"{CONFIG}/a", params=PLACE, json={"value": 3}, headers=keyed())
        problem(other, 422, "idempotency-key-reused")
        lock.release()
        service = server.app.state.configkit
        eventually(lambda: service.unrecorded.find(next(iter(service.unrecorded._known), "")) is None)
        again = write(server)
        assert (again.status_code, again.json()["version"], versions(server)) == (200, 2, 2)


def test_a_request_that_takes_longer_than_its_caller_waits_is_carried_out_once_all_the_same(tmp_path: Path) -> None:
    backends = sqlite(tmp_path)
    store = backends.idempotency
    assert store is not None
    with deployed(backends, deadline=0.2) as server, locked(tmp_path) as lock:
        server.create("a", 1)
        begin = store.begin

        def begin_and_lock(key: str, fingerprint: str) -> Outcome | None:
            claimed = begin(key, fingerprint)
            lock.take()
            return claimed

        store.begin = begin_and_lock  # type: ignore[method-assign]
        problem(write(server), 503, "unavailable")
        store.begin = begin  # type: ignore[method-assign]
        lock.release()
        eventually(lambda: write(server).status_code != 409)
        again = write(server)
        assert (again.status_code, again.json()["version"], versions(server)) == (200, 2, 2)


def test_what_a_dead_server_had_begun_is_not_begun_again(tmp_path: Path) -> None:
    with deployed(sqlite(tmp_path)) as server:
        server.create("a", 1)
        assert write(server).json()["version"] == 2
        with closing(sqlite3.connect(tmp_path / "configkit.db", isolation_level=None)) as database:
            database.execute("UPDATE idempotency SET status = NULL, claimed_mono = claimed_mono - 61")
        for _ in range(2):
            problem(write(server), 409, "outcome-unknown")
        assert versions(server) == 2
        assert write(server, "k-2").json()["version"] == 3


@pytest.mark.parametrize("nothing_changed", [True, False])
def test_only_a_failure_that_changed_nothing_may_be_tried_again(either: Deployed, nothing_changed: bool) -> None:
    either.create("a", 1)
    documents = either.kit.documents
    update = documents.update

    def unanswered(*args: Any, **kwargs: Any) -> ConfigVersion:
        if not nothing_changed:
            update(*args, **kwargs)
        raise UnavailableError("no answer", backend="store", operation="update", nothing_changed=nothing_changed)

    documents.update = unanswered  # type: ignore[method-assign]
    problem(write(either), 503, "unavailable")
    documents.update = update  # type: ignore[method-assign]
    again = write(either)
    if nothing_changed:
        assert again.status_code == 200
    else:
        problem(again, 409, "outcome-unknown")
        assert again.headers["idempotent-replayed"] == "true"
    assert versions(either) == 2


def test_while_too_many_outcomes_are_unrecorded_nothing_is_begun(server: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("configkit_server.unrecorded.MOST", 0)
    server.create("a", 1)
    problem(write(server), 503, "unavailable")
    assert versions(server) == 1


def test_nothing_of_the_request_is_in_the_record() -> None:
    with deployed() as server:
        kept: list[str] = []
        store = server.kit.backends.idempotency
        assert store is not None
        begin = store.begin

        def listen(key: str, fingerprint: str) -> Outcome | None:
            kept.extend((key, fingerprint))
            return begin(key, fingerprint)

        store.begin = listen  # type: ignore[method-assign]
        server.http.post(CONFIG, json={"key": "a", "value": "canary", **PLACE}, headers=keyed("my-own-key"))
        assert len(kept) == 2
        assert all(len(each) == 64 and set(each) <= set("0123456789abcdef") for each in kept)
