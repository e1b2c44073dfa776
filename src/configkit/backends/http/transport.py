"""
The one HTTP client of a remote deployment: pooled, bounded in time and size, and the only module that knows httpx2.

It follows no redirect and takes no proxy from the environment: what it sends are secrets and a token, and they go to the
configured address or nowhere. Certificates are checked against the system's, or `SSL_CERT_FILE` and `SSL_CERT_DIR`.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlencode

import httpcore2
import httpx2

from configkit.backends.http.answers import BACKEND, Answer, unavailable
from configkit.backends.http.network import Clock, Network
from configkit.errors import ClosedError, InvalidDocumentError, UnavailableError
from configkit.models import check_url

MAX_BYTES = 64 * 1024 * 1024
_MAX_CONNECTIONS = 64
_KEEPALIVE = 4.0
"""Seconds an idle connection is kept: fewer than uvicorn's five, so that it is seldom used while the server closes it."""
_BUSY_PAUSE = 0.05
_WAKE_EVERY = 0.05
_CLOSE_WITHIN = 0.8

FRESH = {"Cache-Control": "no-cache"}
"""Asks the server for what its store has, not its cache."""

Query = Mapping[str, "str | int | list[str] | None"]


class TooLargeError(UnavailableError):
    """The answer is larger than is read at once: ask for less."""


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """
    One request.

    Attributes:
        operation: Its name in messages.
        query: Parameters; a list repeats its name, None leaves it out.
        body: JSON object to send.
        reads: It changes nothing, and needs no Idempotency-Key to be sent again.
    """

    operation: str
    method: str
    path: str
    query: Query = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    reads: bool = False


class Transport:
    """
    Sends requests to one server and reads the answers.

    Args:
        url: Where the server is; a path in it comes before `/api/v1`.
        token: The bearer token; None sends none.
        deadline: Seconds that one call may take in all, repetitions included.

    Raises:
        InvalidDocumentError: The URL or the token is malformed.
    """

    def __init__(self, url: str, *, token: str | None = None, deadline: float = 5.0) -> None:
        self.url = _checked_url(url)
        self.deadline = deadline
        self._headers = _headers(token)
        self._closed = False
        self._open()

    def _open(self) -> None:
        self._clock = Clock()
        self._network = Network(self._clock)
        self._made: httpx2.Client | None = None
        self._active = 0
        self._change = threading.Condition()

    def _client(self) -> httpx2.Client:
        """Return the client, made when it is first needed: most forked children never do."""
        with self._change:
            if self._made is None:
                try:
                    transport = _PooledTransport(self._network, secure=self.url.startswith("https:"))
                except OSError as error:
                    raise unavailable("connect", f"the trusted certificates cannot be read: {error}") from error
                self._made = httpx2.Client(transport=transport, headers=self._headers, trust_env=False, follow_redirects=False)
            return self._made

    def __repr__(self) -> str:
        return f"<Transport {self.url}>"

    def call(self, call: Call, *, ends: float | None = None) -> Answer:
        """
        Return the answer to *call*, whatever its status.

        A read is sent once more where its connection broke. A change is sent up to twice more, with the same
        Idempotency-Key, so that it is carried out once; while the server works on the first, it is asked again.

        Args:
            ends: When the deadline is, in monotonic seconds; None: a new one begins.

        Raises:
            UnavailableError: No whole answer by the deadline.
            ClosedError: The client was closed.
        """
        ends = time.monotonic() + self.deadline if ends is None else ends
        headers = dict(call.headers) if call.reads else {"Idempotency-Key": str(uuid.uuid4()), **call.headers}
        content = None if call.body is None else _encoded(call.body)
        repeats = 1 if call.reads else 2
        while True:
            # A change whose answer is lost must leave time to ask what became of it.
            spare = 0.0 if call.reads or not repeats else (ends - time.monotonic()) / 2
            try:
                answer = self._exchange(call, headers, content, ends - spare)
            except httpx2.TransportError as error:
                if self._closed:
                    raise ClosedError from error
                hopeless = call.reads and isinstance(error, httpx2.ConnectError | httpx2.TimeoutException)
                if hopeless or not repeats or time.monotonic() >= ends:
                    raise unavailable(call.operation, f"no answer from {self.url}: {_reason(error)}") from error
                repeats -= 1
            else:
                if not answer.is_in_flight or time.monotonic() + _BUSY_PAUSE >= ends:
                    return answer
            if not call.reads:
                self._pause(_BUSY_PAUSE)

    @contextmanager
    def stream(self, call: Call, *, within: float, silence: float) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """
        Open an endless answer: its beginning, and its chunks as they come; where the status is not 200, all of it.

        Args:
            within: Seconds until the answer has to begin.
            silence: Seconds without a byte after which the connection counts as lost.

        Raises:
            UnavailableError: It does not begin, or breaks, in the block too.
            ClosedError: The client was closed, in the block too.
        """
        try:
            with self._in_use(), self._opened(call, call.headers, None, time.monotonic() + within, silence) as response:
                if response.status_code == 200:
                    yield _answer(call, response, b""), response.iter_raw()
                else:
                    with self._clock.until(time.monotonic() + within):
                        answer = _read(call, response)
                    yield answer, iter(())
        except httpx2.TransportError as error:
            if self._closed:
                raise ClosedError from error
            raise unavailable(call.operation, f"the stream of {self.url} broke: {_reason(error)}") from error

    def close(self) -> None:
        """End what is under way, and close every socket; within a second."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        end = time.monotonic() + _CLOSE_WITHIN
        with self._change:
            self._network.shut()
            while not self._change.wait_for(lambda: not self._active, _WAKE_EVERY) and time.monotonic() < end:
                self._network.shut()  # a socket that was about to connect when it was shut connects all the same
            client = self._made
        if client is not None:
            client.close()
        self._network.abandon()

    def after_fork(self) -> None:
        """Begin anew: the connections are the parent's."""
        self._network.abandon()
        self._open()

    def _exchange(self, call: Call, headers: Mapping[str, str], content: bytes | None, ends: float) -> Answer:
        with self._in_use(), self._opened(call, headers, content, ends, None) as response, self._clock.until(ends):
            return _read(call, response)

    @contextmanager
    def _opened(
        self, call: Call, headers: Mapping[str, str], content: bytes | None, ends: float, silence: float | None
    ) -> Iterator[httpx2.Response]:
        query = urlencode({name: value for name, value in call.query.items() if value is not None}, doseq=True)
        client = self._client()
        request = client.build_request(
            call.method,
            f"{self.url}{call.path}?{query}" if query else f"{self.url}{call.path}",
            headers={**headers, "Content-Type": "application/json"} if content is not None else headers,
            content=content,
            timeout=httpx2.Timeout(silence, pool=max(ends - time.monotonic(), 0.0)),
        )
        with self._clock.until(ends):
            response = client.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        change = self._change
        with change:
            if self._closed:
                raise ClosedError
            self._active += 1
        try:
            yield
        finally:
            with change:
                self._active -= 1
                change.notify_all()

    def _pause(self, seconds: float) -> None:
        with self._change:
            self._change.wait_for(lambda: self._closed, seconds)


class _PooledTransport(httpx2.HTTPTransport):
    """httpx2's own, on sockets that keep the deadline; its constructor has no place to name them."""

    def __init__(self, network: Network, *, secure: bool) -> None:
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpx2.create_ssl_context() if secure else None,
            max_connections=_MAX_CONNECTIONS,
            max_keepalive_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE,
            network_backend=network,
        )


def _read(call: Call, response: httpx2.Response) -> Answer:
    body = bytearray()
    unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16) if response.headers.get("content-encoding") == "gzip" else None
    for chunk in response.iter_raw():
        body += chunk if unpacked is None else _unpack(call, unpacked, chunk)
        if len(body) > MAX_BYTES:
            raise TooLargeError(
                f"the answer is larger than {MAX_BYTES // 1024 // 1024} MiB", backend=BACKEND, operation=call.operation
            )
    return _answer(call, response, bytes(body))


def _unpack(call: Call, unpacking: Any, chunk: bytes) -> bytes:
    """Return what *chunk* is unpacked, a little more than is allowed at most."""
    try:
        unpacked: bytes = unpacking.decompress(chunk, MAX_BYTES + 1)
    except zlib.error as error:
        raise unavailable(call.operation, "the answer is not packed as it says") from error
    return unpacked


def _answer(call: Call, response: httpx2.Response, body: bytes) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(call.operation, response.status_code, headers, body)


def _encoded(body: Mapping[str, Any]) -> bytes:
    parts = [f"{json.dumps(name)}:{_encoded_field(name, value)}" for name, value in body.items()]
    return f"{{{','.join(parts)}}}".encode()


def _encoded_field(name: str, value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError, RecursionError):
        remedy = "not JSON: a foreign type, NaN, infinity, or text with a lone surrogate"
        raise InvalidDocumentError(remedy, pointer=f"/{name}") from None
    return text


def _checked_url(url: str) -> str:
    check_url(url, pointer="/url")
    if "?" in url:
        raise InvalidDocumentError("the address of a configkit server has no query", pointer="/url")
    try:
        httpx2.URL(url)
    except httpx2.InvalidURL:
        raise InvalidDocumentError("the host of the address is not one", pointer="/url") from None
    return url.rstrip("/")


def _headers(token: str | None) -> dict[str, str]:
    try:
        release = version("configkit")
    except PackageNotFoundError:
        release = "unknown"
    headers = {"User-Agent": f"configkit/{release}", "Accept": "application/json", "Accept-Encoding": "identity"}
    if token is not None:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise InvalidDocumentError("a token is printable ASCII without spaces", pointer="/token")
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _reason(error: httpx2.TransportError) -> str:
    return "timed out" if isinstance(error, httpx2.TimeoutException) else str(error) or type(error).__name__
