"""A Redis that hangs, refuses, forgets, or is not there: real servers, and the time that each call took."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
import redis
from scripts.services import Server

from configkit.backends.redis import Address, Tls
from configkit.backends.redis.shared import SharedRedis
from configkit.errors import AccessDeniedError, BackendError, UnavailableError
from tests.unit.backends.redis.conftest import Open, address
from tests.unit.backends.redis.test_caches import PATH, PLAIN
from tests.waiting import eventually

DEADLINE, BOUND = 0.25, 0.35


def seconds(call: Callable[[], object], *, error: type[BackendError] = UnavailableError) -> float:
    began = time.monotonic()
    with pytest.raises(error):
        call()
    return time.monotonic() - began


@contextmanager
def admin(server: Server) -> Iterator[redis.Redis]:
    env = server.env
    client = redis.Redis(env["REDIS_HOST"], int(env["REDIS_PORT"]), password=env["REDIS_PASSWORD"], protocol=2)
    with closing(client):
        yield client


def test_a_redis_that_hangs_costs_three_short_waits_and_then_nothing_until_it_goes_on(server: Server, opened: Open) -> None:
    shared = opened(address(server.env), deadline=DEADLINE)
    shared.documents.put(PLAIN)
    server.pause()
    calls: list[Callable[[], object]] = [
        lambda: shared.documents.get(PATH),
        lambda: shared.documents.put(PLAIN),
        lambda: shared.blobs.load("x"),
    ]
    assert max(seconds(call) for call in calls) < BOUND
    refused = [seconds(calls[number % 3]) for number in range(30)]
    assert sorted(refused)[20] < 0.01
    assert max(refused) < BOUND
    server.resume()
    eventually(lambda: reads(shared), timeout=3.0)


def reads(shared: SharedRedis) -> bool:
    try:
        return shared.documents.get(PATH) is not None
    except UnavailableError:
        return False


def test_a_hung_redis_that_many_threads_ask_answers_each_in_time(server: Server, opened: Open) -> None:
    shared = opened(address(server.env), deadline=DEADLINE)
    shared.documents.put(PLAIN)
    server.pause()
    took: list[float] = []
    threads = [threading.Thread(target=lambda: took.append(seconds(lambda: shared.documents.get(PATH)))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    server.resume()
    assert len(took) == 16
    assert max(took) < 2 * BOUND  # sixteen threads share the processors too


def test_a_redis_that_was_killed_is_used_again_soon_after_it_is_back(server: Server, opened: Open) -> None:
    shared = opened(address(server.env), deadline=DEADLINE)
    shared.documents.put(PLAIN)
    server.kill()
    assert max(seconds(lambda: shared.documents.get(PATH)) for _ in range(20)) < BOUND
    server.start()
    eventually(lambda: writes(shared), timeout=3.0)


def writes(shared: SharedRedis) -> bool:
    try:
        return shared.documents.put(PLAIN)
    except UnavailableError:
        return False


def test_a_redis_that_was_restarted_between_two_calls_costs_no_error(server: Server, opened: Open) -> None:
    shared = opened(address(server.env))
    shared.documents.put(PLAIN)
    server.restart()
    assert shared.documents.get(PATH) is None
    assert shared.documents.put(PLAIN) is True


def test_a_flushed_redis_knows_nothing_and_keeps_what_comes(server: Server, opened: Open) -> None:
    shared = opened(address(server.env))
    shared.documents.put(PLAIN)
    with admin(server) as client:
        client.flushall()
    assert shared.documents.get(PATH) is None
    assert shared.documents.put(replace(PLAIN, version=1)) is True


def test_a_full_redis_forgets_or_refuses_and_reads_on(server: Server, opened: Open) -> None:
    shared = opened(address(server.env))
    shared.documents.put(PLAIN)
    with admin(server) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        with pytest.raises(UnavailableError, match="full"):
            shared.documents.put(replace(PLAIN, version=9))
        assert shared.documents.get(PATH) == PLAIN
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(UnavailableError):
            shared.documents.put(replace(PLAIN, version=9))
    eventually(lambda: shared.documents.get(PATH) is None)


def test_a_read_only_replica_answers_reads_and_refuses_writes(server: Server, opened: Open) -> None:
    shared = opened(address(server.env))
    shared.documents.put(PLAIN)
    with admin(server) as client:
        client.config_set("replica-read-only", "yes")
        client.replicaof("127.0.0.1", "1")
        for _ in range(5):
            with pytest.raises(UnavailableError, match="read-only"):
                shared.documents.put(replace(PLAIN, version=9))
            assert shared.documents.get(PATH) == PLAIN
        client.replicaof("NO", "ONE")
    assert shared.documents.put(replace(PLAIN, version=9)) is True


@pytest.mark.parametrize("password", ["wrong-4711", None])
def test_refused_credentials_are_denied_every_time_and_never_shown(password: str | None, env: dict[str, str], opened: Open) -> None:
    shared = opened(address(env, password=password))
    for _ in range(5):
        with pytest.raises(AccessDeniedError) as raised:
            shared.documents.get(PATH)
        assert "4711" not in str(raised.value)


def test_a_user_with_few_rights_does_what_it_may(server: Server, opened: Open) -> None:
    with admin(server) as client:
        client.acl_setuser("reader", enabled=True, passwords=["+pw"], keys=["*"], commands=["+get", "+ping"])
        shared = opened(address(server.env))
        reader = opened(
            address(server.env, username="reader", password="pw"), namespace=shared.documents._entries._prefix.split(":")[0]
        )
        shared.documents.put(PLAIN)
        for _ in range(5):
            assert reader.documents.get(PATH) == PLAIN
            with pytest.raises(AccessDeniedError):
                reader.documents.put(replace(PLAIN, version=9))


def test_another_logical_database_holds_other_documents(env: dict[str, str], opened: Open) -> None:
    namespace = "test-databases-" + str(time.monotonic_ns())
    first, second = (opened(address(env, database=number), namespace=namespace) for number in (0, 1))
    first.documents.put(PLAIN)
    assert second.documents.get(PATH) is None
    first.documents.clear()


def test_nobody_at_the_address_is_unavailable_at_once(opened: Open) -> None:
    assert max(seconds(opened(Address("127.0.0.1", 1), deadline=DEADLINE).ping) for _ in range(5)) < BOUND


def test_over_tls_with_a_trusted_certificate_redis_is_used(server: Server, opened: Open) -> None:
    place = server.place
    over_tls = opened(address(server.env, port=place.ports["tls"], tls=Tls(ca_file=str(place.certificate))), deadline=DEADLINE)
    assert over_tls.documents.put(PLAIN) is True
    assert over_tls.documents.get(PATH) == PLAIN
    server.pause()
    assert max(seconds(lambda: over_tls.documents.get(PATH)) for _ in range(3)) < BOUND
    server.resume()


def test_a_redis_whose_certificate_is_not_trusted_gets_no_password(server: Server, opened: Open) -> None:
    shared = opened(address(server.env, port=server.place.ports["tls"], tls=Tls()), deadline=DEADLINE)
    with admin(server) as client:
        before = client.info("commandstats")["cmdstat_auth"]["calls"]
        assert max(seconds(lambda: shared.documents.get(PATH)) for _ in range(3)) < BOUND
        assert client.info("commandstats")["cmdstat_auth"]["calls"] == before


def test_a_redis_that_never_finishes_the_handshake_is_left_by_the_deadline(opened: Open) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        shared = opened(Address("127.0.0.1", mute.getsockname()[1], tls=Tls()), deadline=DEADLINE)
        assert max(seconds(lambda: shared.documents.get(PATH)) for _ in range(3)) < BOUND


@contextmanager
def slow_server(step: float) -> Iterator[int]:
    """A server that answers `AUTH`, `SELECT` and everything else one byte at a time, *step* seconds each: yields its port."""
    ends = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while connection.recv(4096):
                    for byte in b"+OK\r\n":
                        if ends.wait(step):
                            return
                        connection.sendall(bytes((byte,)))
            except OSError:
                return

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(connection,))
            workers.append(thread)
            thread.start()

    workers: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, args=(listener,))
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ends.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(5)
            for worker in workers:
                worker.join(5)


def test_a_redis_that_answers_in_drops_is_left_by_the_deadline(opened: Open) -> None:
    with slow_server(0.1) as port:
        shared = opened(Address("127.0.0.1", port, username="someone", password="pw", database=3), deadline=DEADLINE)
        assert max(seconds(lambda: shared.documents.get(PATH)) for _ in range(3)) < BOUND
        shared.close()
