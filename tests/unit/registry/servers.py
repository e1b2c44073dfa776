"""Real servers on loopback that behave badly on purpose."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Listener:
    """A TCP server that hands every connection to *answer*, its request already read unless not *reads*."""

    def __init__(self, answer: Callable[[socket.socket], None], *, reads: bool = True) -> None:
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._answer = answer
        self._reads = reads
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/health"

    def close(self) -> None:
        self.stopping.set()
        for thread in list(self._threads):
            thread.join(5)
        self._socket.close()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            if self._reads:
                self.requests.append(connection.recv(65536))
            self._answer(connection)


@contextmanager
def listening(answer: Callable[[socket.socket], None] | bytes, *, reads: bool = True) -> Iterator[Listener]:
    def send(connection: socket.socket) -> None:
        connection.sendall(answer if isinstance(answer, bytes) else b"")

    listener = Listener(send if isinstance(answer, bytes) else answer, reads=reads)
    try:
        yield listener
    finally:
        listener.close()


def status(code: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code} X", "Content-Length: 0", *headers, "", ""]).encode()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
