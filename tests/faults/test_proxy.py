"""The fault tests' own proxy does what it says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.proxy import proxy


@contextmanager
def echo() -> Iterator[int]:
    """Serve one port that sends everything back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                try:
                    while data := connection.recv(65536):
                        connection.sendall(data)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def connect(port: int, timeout: float = 0.3) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def test_it_forwards_and_delays_answers() -> None:
    with echo() as port, proxy(port) as between, connect(between.port, 2.0) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
        between.delay = 0.2
        began = time.monotonic()
        client.sendall(b"late")
        assert client.recv(10) == b"late"
        assert 0.2 <= time.monotonic() - began < 0.5


def test_it_resets_connections() -> None:
    with echo() as port, proxy(port) as between, connect(between.port, 2.0) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
        between.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(10)


def test_half_open_connections_stay_silent_and_new_ones_work_once_it_is_healed() -> None:
    with echo() as port, proxy(port) as between, connect(between.port) as old:
        old.sendall(b"hello")
        assert old.recv(10) == b"hello"
        between.silent = True
        old.sendall(b"lost")
        with pytest.raises(TimeoutError):
            old.recv(10)
        between.heal()
        old.sendall(b"still lost")
        with pytest.raises(TimeoutError):
            old.recv(10)
        with connect(between.port, 2.0) as new:
            new.sendall(b"again")
            assert new.recv(10) == b"again"


def test_held_answers_come_later() -> None:
    with echo() as port, proxy(port) as between, connect(between.port) as client:
        between.holds_answers = True
        client.sendall(b"asked")
        with pytest.raises(TimeoutError):
            client.recv(10)
        between.heal()
        client.settimeout(2.0)
        assert client.recv(10) == b"asked"
