"""
Living with uvicorn: what its lifespan does not tell an application.

Uvicorn ends the lifespan only after every connection has ended, and an event stream ends only when it is told: without
this, a server with one open stream would not stop.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from configkit_server.auth import is_loopback
from configkit_server.protocol import BoundedProtocol

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ends_streams_on_signals(drain: Callable[[], None]) -> Iterator[None]:
    """Call *drain* when the process is told to end, before whatever else that does; outside the main thread do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}

    def end(number: int, frame: FrameType | None) -> None:
        drain()
        handler = before[number]
        if callable(handler):
            handler(number, frame)

    replaced = [number for number, handler in before.items() if callable(handler)]
    for number in replaced:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in replaced:
            if signal.getsignal(number) is end:
                signal.signal(number, before[number])


def binds_loopback() -> bool:
    """Whether this process is a uvicorn that is bound to loopback only, as far as can be known; called while it starts."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not isinstance(server, uvicorn.Server):
        return False
    config = server.config
    return config.fd is None and (config.uds is not None or config.host == "localhost" or is_loopback(config.host))


class Server(uvicorn.Server):
    """
    A uvicorn server for one application of `create_app`: its connections are bounded, and its event streams end with it.

    Which protocol it speaks is `BoundedProtocol`, unless *config* names another.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        if config.http in ("auto", "httptools"):
            config.http = BoundedProtocol

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then everything else."""
        app = self.config.loaded_app if not isinstance(self.config.app, Starlette) else self.config.app
        service = getattr(getattr(app, "state", None), "configkit", None)
        if service is not None:
            service.drain()
        await super().shutdown(sockets)


@contextmanager
def serving(app: Starlette, *, host: str = "127.0.0.1", port: int = 0, **options: Any) -> Iterator[str]:
    """
    Serve *app* on a thread and give its URL; by default on a free port of loopback.

    Args:
        options: Further settings of `uvicorn.Config`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        settings = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": 5, **options}
        server = Server(uvicorn.Config(app, host=host, **settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="configkit-server", daemon=True)
        thread.start()
        try:
            _wait_until_started(server, thread)
            bound = f"[{host}]" if family == socket.AF_INET6 else host
            yield f"http://{bound}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(15.0)


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    pause = threading.Event()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start; its log says why")
        pause.wait(0.005)
