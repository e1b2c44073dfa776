"""Uvicorn around the application, on a socket that is bound already; importing this needs the extra ``server``."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from configkit.errors import UnavailableError
from configkit_server import main
from configkit_server.serving import Server

__all__ = ["main", "run"]

SHUTDOWN_SECONDS = 5
"""So long requests under way may take once the server is to end."""


class _Announced(Server):
    """Says where it listens, once it does; told to end before it could listen to signals, it ends at once."""

    def __init__(self, config: uvicorn.Config, url: str, told_to_end: Callable[[], bool]) -> None:
        super().__init__(config)
        self._url = url
        self._told_to_end = told_to_end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            sys.stdout.write(f"listening on {self._url}\n")
            sys.stdout.flush()
        if self._told_to_end():
            self.should_exit = True


def run(application: Starlette, listener: socket.socket, host: str, told_to_end: Callable[[], bool]) -> None:
    """
    Serve *application* on *listener* until the process is told to end.

    Args:
        told_to_end: Whether it was, before this took its signals over.

    Raises:
        UnavailableError: It did not start.
    """
    config = uvicorn.Config(
        application,
        host=host,
        log_config=None,
        access_log=False,
        # Whose request it is, is decided by the peer's address: a header must not change that.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    shown = f"[{host}]" if ":" in host else host
    server = _Announced(config, f"http://{shown}:{listener.getsockname()[1]}", told_to_end)
    server.run(sockets=[listener])
    if not server.started:
        raise UnavailableError("it did not start; its log says why", backend="server", operation="start")
