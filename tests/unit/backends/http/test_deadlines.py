"""Every call ends by its deadline, and closing ends every call."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from configkit.errors import ClosedError, UnavailableError
from configkit.models import ConfigPath, Origin
from tests.unit.backends.http.conftest import Connect, Serve
from tests.unit.backends.http.servers import Reply, config_document
from tests.waiting import eventually

PATH = ConfigPath("development", "asr", "model_path")
ORIGIN = Origin("ann")


def least_seconds(call: Callable[[], object], message: str = "no answer") -> float:
    """
    Return how long *call* takes to be unavailable, at best of three.

    A busy machine may hold up any one of them; what does not keep the deadline is late each time.
    """
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=message):
            call()
        seconds.append(time.monotonic() - began)
        if seconds[-1] < 0.5:
            break
    return min(seconds)


def drip(reply: Reply, data: bytes) -> None:
    for byte in data:
        if reply.stopping.wait(0.02) or not reply.send(bytes([byte])):
            return


def dripping_headers(_: object, reply: Reply) -> None:
    drip(reply, b"HTTP/1.1 200 OK\r\n" + b"X-Padding: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 100)


def dripping_body(_: object, reply: Reply) -> None:
    reply.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    drip(reply, b" " * 1000)


def dripping_interim_answers(_: object, reply: Reply) -> None:
    while not reply.stopping.wait(0.02) and reply.send(b"HTTP/1.1 103 Early Hints\r\n\r\n"):
        pass


def silent(_: object, reply: Reply) -> None:
    reply.wait_for_the_other_end()


@pytest.mark.parametrize("script", [dripping_headers, dripping_body, dripping_interim_answers, silent])
@pytest.mark.parametrize("mutating", [False, True])
def test_a_call_ends_by_its_deadline_whatever_the_server_does(
    serve: Serve, connect: Connect, script: Callable[[object, Reply], None], mutating: bool
) -> None:
    store = connect(serve(script).url, deadline=0.4).config
    call = partial(store.create, PATH, "x", is_encrypted=False, origin=ORIGIN) if mutating else partial(store.read, PATH)
    assert 0.35 <= least_seconds(call, "timed out") < 0.4 + 0.1


def test_a_server_that_takes_no_bytes_is_left_by_the_deadline(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        store = connect(f"http://127.0.0.1:{deaf.getsockname()[1]}", deadline=0.4).config
        assert least_seconds(partial(store.create, PATH, "x" * 500_000, is_encrypted=False, origin=ORIGIN)) < 0.4 + 0.1


def unreachable(stack: list[socket.socket]) -> str:
    """Return the address of a listener whose queue is full: connecting to it takes for ever."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    stack.append(listener)
    for _ in range(3):
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
        stack.append(waiting)
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_connecting_ends_by_the_deadline(connect: Connect) -> None:
    sockets: list[socket.socket] = []
    try:
        store = connect(unreachable(sockets), deadline=0.4).config
        assert least_seconds(partial(store.read, PATH), "timed out") < 0.4 + 0.1
    finally:
        for sock in sockets:
            sock.close()


def test_a_refused_connection_is_unavailable_at_once(connect: Connect) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="refused"):
        connect(url, deadline=5.0).config.read(PATH)
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("where", ["reading", "connecting"])
def test_closing_takes_a_second_at_most_and_ends_what_is_under_way(serve: Serve, connect: Connect, where: str) -> None:
    sockets: list[socket.socket] = []
    server = serve(silent)
    try:
        backends = connect(server.url if where == "reading" else unreachable(sockets), deadline=30.0)
        raised: list[BaseException] = []

        def read() -> None:
            try:
                backends.config.read(PATH)
            except ClosedError as error:
                raised.append(error)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        if where == "reading":
            eventually(lambda: len(server.requests) == 4)
        began = time.monotonic()
        backends.close()
        assert time.monotonic() - began < 1.0
        for thread in threads:
            thread.join(5.0)
        assert len(raised) == 4
    finally:
        for sock in sockets:
            sock.close()


def test_a_closed_client_says_so_and_closing_again_does_nothing(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.json(200, config_document()))
    backends = connect(server.url)
    backends.config.read(PATH)
    backends.close()
    backends.close()
    for attempt in (
        lambda: backends.config.read(PATH),
        lambda: backends.config.create(PATH, 1, is_encrypted=False, origin=ORIGIN),
        lambda: backends.bus.subscribe(print),
        backends.ping["server"],
    ):
        with pytest.raises(ClosedError):
            attempt()
    eventually(lambda: server.gone == server.connections)


def test_opening_sends_nothing(serve: Serve, connect: Connect) -> None:
    server = serve(silent)
    connect(server.url).close()
    assert server.connections == 0


def test_many_threads_share_the_client(serve: Serve, connect: Connect) -> None:
    server = serve(lambda _, reply: reply.json(200, config_document()))
    store = connect(server.url).config
    versions: list[int] = []
    threads = [threading.Thread(target=lambda: versions.extend(store.read(PATH).version for _ in range(20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert versions == [3] * 160
    assert server.connections <= 8
