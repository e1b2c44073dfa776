"""
Connections that keep the deadline of the call they serve, however many steps it takes.

The driver's timeouts are for one step each (the connect, each read), so that a call on a new connection may take several
of them.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.connection import Connection

_now = threading.local()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let whatever this thread does on the connections of this module end in *seconds*."""
    _now.ends = time.monotonic() + seconds
    try:
        yield
    finally:
        del _now.ends


def _remaining() -> float:
    remaining = float(getattr(_now, "ends", 0.0)) - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the deadline has passed")
    return remaining


class _BoundedSocket:
    """A socket whose every step ends by the deadline of the thread's call."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._polling = False

    def settimeout(self, seconds: float | None) -> None:
        # Zero is how the driver looks whether anything has come; any other time is the deadline's.
        self._polling = seconds == 0
        self._inner.settimeout(seconds)

    def recv(self, size: int) -> bytes:
        self._bound()
        return self._inner.recv(size)

    def recv_into(self, buffer: Any, *args: Any) -> int:
        self._bound()
        return self._inner.recv_into(buffer, *args)

    def sendall(self, content: Any) -> None:
        self._bound()
        self._inner.sendall(content)

    def _bound(self) -> None:
        if not self._polling:
            self._inner.settimeout(_remaining())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class BoundedConnection(Connection):
    """A connection over TCP."""

    def _connect(self) -> Any:
        self.socket_connect_timeout = self.socket_timeout = _remaining()
        return _BoundedSocket(super()._connect())  # type: ignore[no-untyped-call]


class BoundedTlsConnection(Connection):
    """
    A connection over TLS.

    Args:
        context: Made once: loading certificates for each connection takes a good part of a deadline.
    """

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._context = context

    def _connect(self) -> Any:
        self.socket_connect_timeout = self.socket_timeout = _remaining()
        plain = super()._connect()  # type: ignore[no-untyped-call]
        try:
            plain.settimeout(_remaining())
            return _BoundedSocket(self._context.wrap_socket(plain, server_hostname=self.host))
        except BaseException:
            plain.close()
            raise
