"""Uvicorn around the application, on a socket that is bound already; importing this needs the extra ``server``."""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.applications import Starlette

from configkit_server import main
from configkit_server.serving import Server

__all__ = ["main", "run"]

SHUTDOWN_SECONDS = 5
"""So long requests under way may take once the server is to end."""


class _Announced(Server):
    """Says where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            sys.stdout.write(f"listening on {self._url}\n")
            sys.stdout.flush()


def run(application: Starlette, listener: socket.socket, host: str) -> None:
    """Serve *application* on *listener* until the process is told to end."""
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
    _Announced(config, f"http://{shown}:{listener.getsockname()[1]}").run(sockets=[listener])
