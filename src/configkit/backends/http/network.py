"""
Sockets that keep a total deadline and can be closed from outside.

The timeouts of an HTTP client are for one read or write each: a server that sends a byte a second is never cut. Here
each of them also ends when the deadline of the whole exchange does. An exchange runs in its caller's thread from
connect to the last byte, so the deadline is the thread's.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import httpcore2

T = TypeVar("T")

_CHUNK = 64 * 1024


class Clock(threading.local):
    """When the exchange of this thread has to be over."""

    ends: float | None = None

    @contextmanager
    def until(self, ends: float | None) -> Iterator[None]:
        """Bound what this thread does on its sockets meanwhile; None: only by the timeout of each operation."""
        self.ends = ends
        try:
            yield
        finally:
            self.ends = None

    def left(self, timeout: float | None, expired: type[Exception]) -> float | None:
        """Return how long the next operation may take."""
        if self.ends is None:
            return timeout
        left = self.ends - time.monotonic()
        if left <= 0:
            raise expired("the deadline of the exchange has passed")
        return left if timeout is None else min(timeout, left)


class Network(httpcore2.NetworkBackend):
    """Opens the sockets of one client and knows every one that is open."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sockets: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._closed = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - the signature is httpcore's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of *host* that answers; each gets an equal part of the time that is left."""
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the latter for a label that is empty or too long
            raise httpcore2.ConnectError(str(error)) from error
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            left = self._clock.left(timeout, httpcore2.ConnectTimeout)
            sock = socket.socket(family, kind, protocol)
            self.adopt(sock)
            try:
                sock.settimeout(None if left is None else left / (len(addresses) - number))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                self.release(sock)
                expired = isinstance(error, TimeoutError)
                failure = httpcore2.ConnectTimeout(str(error)) if expired else httpcore2.ConnectError(str(error))
            else:
                return _Stream(sock, self, self._clock)
        raise failure

    def adopt(self, sock: socket.socket) -> None:
        """Keep *sock* among the open ones; refuse it once closed, so that none is opened behind `shut`."""
        with self._guard:
            if not self._closed:
                self._sockets.add(sock)
                return
        sock.close()
        raise httpcore2.ConnectError("the client is closed")

    def release(self, sock: socket.socket) -> None:
        """Close *sock*."""
        with self._guard:
            self._sockets.discard(sock)
        sock.close()

    def exchange(self, old: socket.socket, new: socket.socket) -> None:
        """Keep *new*, the TLS socket that took over the connection of *old*."""
        with self._guard:
            self._sockets.discard(old)
        self.adopt(new)

    def shut(self) -> None:
        """Open no more, and end what is open: whoever waits on a socket wakes with an error and closes it."""
        with self._guard:
            self._closed = True
            open_now = list(self._sockets)
        for sock in open_now:
            _wake(sock)

    def abandon(self) -> None:
        """Close what is left without a word to the other side: after a fork the connections are the parent's."""
        for sock in list(self._sockets):
            sock.close()
        self._sockets.clear()


def _wake(sock: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not SSLSocket's, which would take its state from under the reader


class _Stream(httpcore2.NetworkStream):
    def __init__(self, sock: socket.socket, network: Network, clock: Clock) -> None:
        self._sock = sock
        self._network = network
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._bounded(lambda: self._sock.recv(max_bytes), timeout, httpcore2.ReadTimeout, httpcore2.ReadError)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        while view:
            part = view[:_CHUNK]
            sent = self._bounded(partial(self._sock.send, part), timeout, httpcore2.WriteTimeout, httpcore2.WriteError)
            view = view[sent:]

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        def wrap() -> _Stream:
            secure = ssl_context.wrap_socket(self._sock, server_hostname=server_hostname, do_handshake_on_connect=False)
            self._network.exchange(self._sock, secure)
            self._sock = secure
            secure.do_handshake()
            return _Stream(secure, self._network, self._clock)

        try:
            return self._bounded(wrap, timeout, httpcore2.ConnectTimeout, httpcore2.ConnectError)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._network.release(self._sock)

    def get_extra_info(self, info: str) -> Any:
        if info == "socket":
            return self._sock
        if info == "is_readable":
            return _is_readable(self._sock)
        return None

    def _bounded(self, act: Callable[[], T], timeout: float | None, expired: type[Exception], failed: type[Exception]) -> T:
        self._sock.settimeout(self._clock.left(timeout, expired))
        try:
            return act()
        except TimeoutError as error:
            raise expired("timed out") from error
        except OSError as error:
            raise failed(str(error)) from error


def _is_readable(sock: socket.socket) -> bool:
    """Whether a read would not wait; on an idle connection that means that the server has closed it."""
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
