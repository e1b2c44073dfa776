"""
One health check over HTTP: a GET whose status decides, and nothing else of the answer.

The connection goes to an address that was checked and is not resolved again, redirects are not followed, the body is
never read, and one deadline covers everything: resolving, connecting, TLS, and a server that drips its headers.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from functools import lru_cache
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import urlsplit

from configkit.models import HealthCheck
from configkit.registry.resolver import NotResolvedError, Resolver

if TYPE_CHECKING:
    from configkit.registry.addresses import Address

    Sent = bytes | bytearray | memoryview

_HEADERS = {"Accept": "*/*", "User-Agent": "configkit-checker", "Connection": "close"}
_MOST_BYTES = 64 * 1024


def probe(instance_id: str, url: str, resolver: Resolver, *, timeout: float = 2.0) -> HealthCheck:
    """
    Check *url* and return what was found; healthy is 2xx.

    Args:
        timeout: Seconds for the whole check.
    """
    began = time.monotonic()
    status: int | None = None
    error: str | None = None
    try:
        status = _status(url, resolver, began + timeout)
    except Exception as failure:  # noqa: BLE001  whatever a foreign server provokes is a failed check, named by its class
        error = _reason(failure)
    healthy = status is not None and 200 <= status < 300
    if status is not None and not healthy:
        error = f"status {status}"
    took = round((time.monotonic() - began) * 1000, 3)
    return HealthCheck(instance_id, healthy, took, status_code=status, error=error)


def _status(url: str, resolver: Resolver, deadline: float) -> int:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    addresses = resolver.resolve(host, port, deadline=_left(deadline))
    stream = _connect(addresses, port, deadline)
    try:
        if secure:
            stream.settimeout(_left(deadline))
            stream = trusted_roots().wrap_socket(stream, server_hostname=host)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return _ask(stream, host, parts.port, target, secure, deadline)
    finally:
        stream.close()


def _ask(stream: socket.socket, host: str, port: int | None, target: str, secure: bool, deadline: float) -> int:  # noqa: FBT001
    connection = http.client.HTTPConnection(host, port or (443 if secure else 80))
    connection.default_port = 443 if secure else 80
    connection.sock = cast("socket.socket", _Timed(stream, deadline))
    connection.request("GET", target, headers=_HEADERS)
    response = connection.getresponse()
    try:
        return response.status
    finally:
        response.close()
        connection.close()


def _connect(addresses: tuple[Address, ...], port: int, deadline: float) -> socket.socket:
    """Connect to the first of *addresses* that answers, each given its share of the time that is left."""
    failure: OSError = ConnectionError()
    for place, address in enumerate(addresses):
        share = _left(deadline) / (len(addresses) - place)
        try:
            return socket.create_connection((str(address), port), timeout=share)
        except OSError as error:
            failure = error
    raise failure


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


@lru_cache(maxsize=1)
def trusted_roots() -> ssl.SSLContext:
    """Return what servers are verified with: the system's roots, or `SSL_CERT_FILE`; read once."""
    return ssl.create_default_context()


class _Timed:
    """What http.client needs of a socket, under one deadline for all of it; closing the socket is its owner's."""

    def __init__(self, stream: socket.socket, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def sendall(self, data: Sent) -> None:
        self._stream.settimeout(_left(self._deadline))
        self._stream.sendall(data)

    def makefile(self, _mode: str) -> IO[bytes]:
        return io.BufferedReader(_Reader(self._stream, self._deadline), buffer_size=4096)

    def close(self) -> None: ...


class _Reader(io.RawIOBase):
    """The other side's words, until the deadline, and not many of them."""

    def __init__(self, stream: socket.socket, deadline: float) -> None:
        super().__init__()
        self._stream = stream
        self._deadline = deadline
        self._most = _MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer is new in Python 3.12
        if self._most <= 0:
            raise http.client.HTTPException
        self._stream.settimeout(_left(self._deadline))
        count = self._stream.recv_into(buffer)
        self._most -= count
        return count


def _reason(failure: Exception) -> str:
    """Return a short name of what went wrong, without a word of what the other side sent."""
    if isinstance(failure, NotResolvedError):
        return str(failure)
    if isinstance(failure, TimeoutError):
        return "timeout"
    if isinstance(failure, ssl.SSLCertVerificationError):
        return "certificate not trusted"
    if isinstance(failure, ssl.SSLError):
        return "TLS failed"
    if isinstance(failure, ConnectionRefusedError):
        return "connection refused"
    if isinstance(failure, ConnectionError):
        return "connection broken"
    if isinstance(failure, OSError):
        return "not reachable"
    if isinstance(failure, http.client.HTTPException):
        return "no HTTP answer"
    return "check failed"
