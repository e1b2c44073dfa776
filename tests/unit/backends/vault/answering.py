"""A server that gives one answer to everything, and a proxy that delays: what Vault itself will not do on demand."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@contextmanager
def answering(status: int, body: bytes = b"", *, headers: dict[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """Give the address of a server that always gives this answer, and the requests that it got."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_LIST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def delayed(address: str, seconds: float) -> Iterator[str]:
    """Give an address that leads to *address*, where everything that is sent arrives *seconds* later."""
    target = urlsplit(address)
    command = [sys.executable, "-c", _DELAYING, str(target.hostname), str(target.port), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        try:
            yield f"http://127.0.0.1:{proxy.stdout.readline().strip()}"
        finally:
            proxy.kill()


_DELAYING = """
import asyncio, sys

host, port, delay = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

async def pump(reader, writer, delay):
    loop = asyncio.get_running_loop()
    while data := await reader.read(65536):
        loop.call_later(delay, writer.write, data)
    loop.call_later(delay, writer.close)

async def connected(reader, writer):
    reader_there, writer_there = await asyncio.open_connection(host, port)
    await asyncio.gather(pump(reader, writer_there, delay), pump(reader_there, writer, 0.0), return_exceptions=True)

async def main():
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""
