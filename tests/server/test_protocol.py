"""Connections that cost no more than they may."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from configkit_server import protocol
from configkit_server.protocol import BoundedProtocol
from tests.server.deployment import CONFIG, PLACE, PROBLEM, Deployed, deployed
from tests.waiting import eventually

LINE = b"GET /live HTTP/1.1\r\nHost: localhost\r\n"


class Short(BoundedProtocol):
    """The same in a shorter time."""

    head_seconds = 0.3
    stall_seconds = 0.3


@pytest.fixture
def short() -> Iterator[Deployed]:
    with deployed(http=Short) as server:
        yield server


@contextmanager
def connected(server: Deployed) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        yield connection


def rest(connection: socket.socket) -> bytes:
    received = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def refused(answer: bytes, status: int, kind: str) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0].startswith(b"HTTP/1.1 %d " % status), answer
    headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"connection"] == b"close"
    assert int(headers[b"content-length"]) == len(body)
    document: dict[str, Any] = json.loads(body)
    assert (document["status"], document["type"]) == (status, PROBLEM + kind)
    assert document["instance"] == f"urn:configkit:request:{headers[b'x-request-id'].decode()}"
    return document


def holds(server: Deployed, connection: socket.socket) -> bool:
    """Whether the server still has its end of *connection*, as the operating system sees it."""
    ends = f":{server.port:04X}", f":{connection.getsockname()[1]:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(ends[0]) and line.split()[2].endswith(ends[1]) for line in lines)


def test_a_head_that_does_not_end_in_time_is_408(short: Deployed) -> None:
    with connected(short) as connection:
        connection.sendall(LINE)
        began = time.monotonic()
        refused(rest(connection), 408, "slow-headers")
        assert time.monotonic() - began < 5


def test_a_head_that_trickles_in_does_not_get_more_time(short: Deployed) -> None:
    with connected(short) as connection:
        connection.settimeout(0.05)
        received = b""

        def trickled() -> bool:
            nonlocal received
            with suppress(TimeoutError):
                received += connection.recv(65536)
                return True
            connection.sendall(b"X")
            return False

        connection.sendall(LINE)
        eventually(trickled, every=0)
        assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("request_", [b"", LINE + b"\r\n", LINE + b"Content-Length: 10\r\n\r\n1"], ids=["new", "kept", "body"])
def test_a_connection_on_which_nothing_comes_ends(short: Deployed, request_: bytes) -> None:
    with connected(short) as connection:
        connection.sendall(request_)
        answer = rest(connection)
        assert answer.startswith(b"HTTP/1.1 200 ") if request_ else not answer


def test_an_answered_request_whose_body_trickles_in_does_not_keep_the_connection(short: Deployed) -> None:
    with connected(short) as connection:
        connection.sendall(LINE + b"Content-Length: 100000\r\n\r\n1")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")

        def ended() -> bool:
            connection.settimeout(0.05)
            try:
                connection.sendall(b"1")
                return not connection.recv(1)
            except TimeoutError:
                return False
            except OSError:
                return True

        eventually(ended)


@pytest.mark.parametrize("line", [b"X: ", b"GET /live?"], ids=["header", "line"])
def test_a_head_beyond_its_bound_is_431_and_is_not_kept(server: Deployed, line: bytes) -> None:
    with connected(server) as connection:
        connection.sendall((LINE if line == b"X: " else b"") + line)
        with suppress(ConnectionError):
            for _ in range(80):
                connection.sendall(b"a" * 1024)
        refused(rest(connection), 431, "headers-too-large")


def test_many_small_headers_are_431_too(server: Deployed) -> None:
    refused(server.raw(LINE + b"a:\r\n" * 20_000 + b"\r\n"), 431, "headers-too-large")


def test_a_head_just_within_its_bound_is_served(server: Deployed) -> None:
    head = LINE + b"Connection: close\r\nX: "
    assert server.raw(head + b"a" * (protocol.HEAD_BYTES - len(head) - 4) + b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_a_body_larger_than_the_bound_of_heads_is_served_with_its_head(server: Deployed) -> None:
    body = json.dumps({"key": "a", "value": "x" * 300_000, **PLACE}).encode()
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    last = LINE + b"Connection: close\r\n\r\n"
    answer = server.raw(head % (CONFIG.encode(), len(body)) + body + LINE + b"\r\n" + last)
    assert re.findall(rb"HTTP/1.1 ([0-9]+)", answer) == [b"201", b"200", b"200"]


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET /live HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /live\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        LINE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/v1/config HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
    ids=["tls", "version", "connect", "nul", "lengths", "chunk"],
)
def test_what_is_no_http_is_a_problem_document(server: Deployed, request_: bytes) -> None:
    refused(server.raw(request_), 400, "bad-request")


@pytest.mark.parametrize("name", ["Host", "Authorization", "Origin", "Content-Type", "Idempotency-Key"])
def test_a_header_that_must_be_single_is_refused_twice(server: Deployed, name: str) -> None:
    host = b"" if name == "Host" else b"Host: localhost\r\n"
    twice = b"%b: localhost\r\n%b: evil\r\n" % (name.encode(), name.lower().encode())
    answer = server.raw(b"GET /live HTTP/1.1\r\nConnection: close\r\n" + host + twice + b"\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert name.lower() in json.loads(body)["detail"]
    assert b"evil" not in answer


def test_connections_beyond_their_number_are_503_and_others_go_on() -> None:
    with deployed(limit_concurrency=5) as server, ExitStack() as stack:
        held = [stack.enter_context(connected(server)) for _ in range(5)]
        for connection in held:
            connection.sendall(LINE)
        eventually(lambda: all(holds(server, connection) for connection in held))
        with connected(server) as surplus:
            surplus.sendall(LINE + b"\r\n")
            assert refused(rest(surplus), 503, "too-many-connections")
        held[0].sendall(b"Connection: close\r\n\r\n")
        assert rest(held[0]).startswith(b"HTTP/1.1 200 ")

        def served() -> bool:
            with connected(server) as next_one:
                next_one.sendall(LINE + b"Connection: close\r\n\r\n")
                return rest(next_one).startswith(b"HTTP/1.1 200 ")

        eventually(served)


def test_fewer_connections_are_let_in_than_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, most in ((256, 128), (1024, 768), (1_000_000, 20_000)):
        monkeypatch.setattr("resource.getrlimit", lambda _, files=files: (files, files))
        assert protocol.most_connections() == most


@contextmanager
def stalled(server: Deployed) -> Iterator[socket.socket]:
    """Ask for a large answer, and read nothing of it."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(b"GET %b?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n" % CONFIG.encode())
        yield connection


def fill(server: Deployed) -> None:
    for number in range(16):
        server.create(f"k{number}", "x" * 500_000)


def test_a_peer_that_reads_nothing_is_given_up(short: Deployed) -> None:
    fill(short)
    with stalled(short) as connection:
        eventually(lambda: holds(short, connection))
        eventually(lambda: not holds(short, connection))
        assert len(rest(connection)) < 8_000_000


def test_a_peer_that_reads_slowly_gets_all_of_it(short: Deployed) -> None:
    fill(short)
    with stalled(short) as connection:
        received, began = connection.recv(65536), time.monotonic()
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        read = len(body)
        while read < length:
            eventually(lambda: (time.monotonic() - began) * 4_000_000 >= read)  # noqa: B023
            chunk = connection.recv(65536)
            assert chunk
            read += len(chunk)
        assert time.monotonic() - began > 3 * Short.stall_seconds


def test_the_end_of_the_server_does_not_wait_for_a_peer_that_reads_nothing() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(deployed())
        fill(server)
        with stalled(server) as connection:
            connection.recv(1)
            began = time.monotonic()
            stack.close()
            assert time.monotonic() - began < 4
