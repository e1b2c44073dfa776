"""How many requests a second the server answers, beside a bare Starlette endpoint under the same uvicorn."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType

from benchmarks import timing

CONNECTIONS = 16
REQUESTS = 50
BOUND = 0.60
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
PLACE = {"environment": "development", "service_name": "asr-service"}
QUESTION = {"flag_name": "new_ui", "user_id": "u123", "environment": "development"}


class Load:
    """Sends one request over and over on some connections, each as soon as its answer is there."""

    def __init__(self, port: int, request: bytes, *, connections: int = CONNECTIONS) -> None:
        self._request = request
        self.requests = REQUESTS
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[connection.fileno()] = connection
            self._poll.register(connection.fileno(), select.EPOLLIN)
        first = next(iter(self._sockets.values()))
        self.answer = _exchange(first, request)
        assert self.answer.startswith(b"HTTP/1.1 200 "), self.answer
        assert len(_exchange(first, request)) == len(self.answer), "every answer has the same length"

    def run(self) -> None:
        """Send so many requests on each connection."""
        size, request = len(self.answer), self._request
        left = dict.fromkeys(self._sockets, self.requests)
        missing = dict.fromkeys(self._sockets, size)
        for connection in self._sockets.values():
            connection.send(request)
        running = len(left)
        while running:
            for number, _ in self._poll.poll(10):
                connection = self._sockets[number]
                received = len(connection.recv(65536))
                assert received, "the server closed the connection"
                missing[number] -= received
                if missing[number]:
                    continue
                missing[number] = size
                left[number] -= 1
                if left[number]:
                    connection.send(request)
                else:
                    running -= 1

    def close(self) -> None:
        self._poll.close()
        for connection in self._sockets.values():
            connection.close()


def _exchange(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = connection.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        more = connection.recv(65536)
        body += more
        answer += more
    return answer


@contextmanager
def served(application: str, folder: str, variables: Mapping[str, str] = NO_VARIABLES) -> Iterator[int]:
    """Run *application* under uvicorn with one worker, told *variables* and its log going nowhere, and give its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONFIGKIT_") and name != "DATABASE_URL"}
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--workers", "1", "--timeout-keep-alive", "60"]
    env = {**kept, "XDG_DATA_HOME": folder, **variables}
    server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        yield port
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the server did not start") from None
            time.sleep(0.05)
        else:
            return


def request(method: str, path: str, body: object = None) -> bytes:
    """Return a request as it goes over the wire."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
    if content:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return f"{head}\r\n".encode() + content


def post(port: int, path: str, body: object) -> None:
    """Make what *body* is."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        answer = _exchange(connection, request("POST", path, body))
        assert answer.startswith(b"HTTP/1.1 201 "), answer


def prepare(port: int) -> None:
    """Make the value and the flag that are asked for."""
    made: list[tuple[str, object]] = [
        ("/api/v1/config", {"key": "model_path", "value": "/models/asr", **PLACE}),
        ("/api/v1/feature-flags", {"name": "new_ui", "environment": "development", "is_enabled": True, "rollout_percentage": 25}),
    ]
    for path, body in made:
        post(port, path, body)


def main() -> int:
    met = True
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bare = stack.enter_context(served("benchmarks.bare:app", folder))
        ours = stack.enter_context(served("configkit_server.main:app", folder))
        prepare(ours)
        query = "&".join(f"{name}={value}" for name, value in PLACE.items())
        for title, floor, candidate in (
            ("GET /config/{key}", request("GET", "/constant"), request("GET", f"/api/v1/config/model_path?{query}")),
            (
                "POST /feature-flags/evaluate",
                request("POST", "/constant", QUESTION),
                request("POST", "/api/v1/feature-flags/evaluate", QUESTION),
            ),
        ):
            loads = {"floor: a bare endpoint": Load(bare, floor), title: Load(ours, candidate)}
            runs: dict[str, Callable[[], None]] = {name: load.run for name, load in loads.items()}
            try:
                figures = timing.ratios(runs, batch_seconds=0.5)
            finally:
                for load in loads.values():
                    load.close()
            bounds = {title: BOUND}
            operations = CONNECTIONS * REQUESTS
            print(timing.table(f"{title}: one worker, {CONNECTIONS} connections", figures, operations=operations, bounds=bounds))
            met = met and timing.met(figures, bounds)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
