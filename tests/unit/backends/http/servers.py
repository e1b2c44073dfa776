"""A server on a real socket that answers byte for byte as its test says."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Reply:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.sock = sock
        self.stopping = stopping
        self.closed = False

    def send(self, data: bytes) -> bool:
        """Send *data* as it is; False once the other side has gone."""
        try:
            self.sock.sendall(data)
        except OSError:
            return False
        return True

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        if status not in (204, 304):
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def json(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        self.answer(status, json.dumps(document).encode(), {"Content-Type": "application/json", **(headers or {})})

    def problem(self, status: int, kind: str, **members: Any) -> None:
        document = {"type": f"urn:configkit:problem:{kind}", "title": "title", "status": status, "detail": "the detail", **members}
        self.answer(status, json.dumps(document).encode(), {"Content-Type": "application/problem+json"})

    def begin_events(self) -> None:
        self.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: hello\n\n")

    def event(self, kind: str, identity: str, **data: Any) -> bool:
        return self.send(f"id: {identity}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode())

    def wait_for_the_other_end(self) -> None:
        """Return when the client has closed the connection, or the server stops."""
        self.sock.settimeout(0.02)
        while not self.stopping.is_set():
            try:
                if not self.sock.recv(4096):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def close(self) -> None:
        self.closed = True


Script = Callable[[Request, Reply], None]


@dataclass
class Server:
    """
    Attributes:
        requests: What came in, in order.
        tls: Speaks HTTPS with this.
        gone: Connections that the client has closed.
    """

    script: Script
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    gone: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @contextmanager
    def running(self, port: int = 0) -> Iterator[Server]:
        stopping = threading.Event()
        threads: list[threading.Thread] = []
        with socket.create_server(("127.0.0.1", port)) as listener:
            self.port = listener.getsockname()[1]
            listener.settimeout(0.02)
            acceptor = threading.Thread(target=self._accept, args=(listener, stopping, threads), daemon=True)
            acceptor.start()
            try:
                yield self
            finally:
                stopping.set()
                acceptor.join(5)
                for thread in threads:
                    thread.join(5)

    def _accept(self, listener: socket.socket, stopping: threading.Event, threads: list[threading.Thread]) -> None:
        while not stopping.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock, stopping), daemon=True)
            threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, stopping: threading.Event) -> None:
        reply = Reply(sock, stopping)
        with ExitStack() as stack:
            stack.enter_context(sock)
            if self.tls is not None:
                sock.settimeout(5)
                try:
                    sock = reply.sock = stack.enter_context(self.tls.wrap_socket(sock, server_side=True))
                except OSError:
                    return
            while not stopping.is_set() and not reply.closed:
                request = _read(sock, stopping)
                if request is None:
                    self.gone += not stopping.is_set()
                    return
                self.requests.append(request)
                self.script(request, reply)
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _read(sock: socket.socket, stopping: threading.Event) -> Request | None:
    sock.settimeout(0.02)
    received = b""
    while b"\r\n\r\n" not in received or len(received) < _length(received):
        try:
            chunk = sock.recv(65536)
        except TimeoutError:
            if stopping.is_set():
                return None
            continue
        except OSError:
            return None
        if not chunk:
            return None
        received += chunk
    sock.settimeout(5)
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    return Request(method, target, {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body)


def _length(received: bytes) -> int:
    head, _, _ = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(head) + 4 + (int(lengths[0]) if lengths else 0)


def config_document(**fields: Any) -> dict[str, Any]:
    return {
        "key": "model_path", "value": "/models/asr", "environment": "development", "service_name": "asr", "is_encrypted": False,
        "masked": False, "version": 3, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
        "changed_by": "ann", "comment": None, "ever_secret": False, **fields,
    }  # fmt: skip


def flag_document(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "name": name, "description": "", "environment": "development", "is_enabled": True, "rollout_percentage": 25.0,
        "target_users": [], "version": 1, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z", **fields,
    }  # fmt: skip
