"""The threads and sockets of a kazoo client, with bounds that kazoo does not set."""

from __future__ import annotations

import atexit
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from kazoo.handlers.threading import SequentialThreadingHandler

logger = logging.getLogger("configkit.zookeeper")


class Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """
    Connects and shakes hands within *patience* seconds, where kazoo takes a whole session timeout, and notices when the
    client has given up for good.

    It cuts a connection on which a request is not answered for that long, too: kazoo takes every request for a sign of
    life, so that on a half-open connection it would wait as long as somebody asks something.

    Args:
        tls: Makes the context of an encrypted connection, anew for each, so that renewed certificates count; None: plain.

    Attributes:
        connected: Whether a session is established; kazoo's own bounds hold from then on.
        ended: The client's connection thread has ended, and will not come back.
    """

    def __init__(self, patience: float, tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        super().__init__()
        self._patience = patience
        self._tls = tls
        self._connection: socket.socket | None = None
        self._asked_at: float | None = None
        self.connected = False
        self.ended = threading.Event()

    def create_connection(self, address: tuple[str, int], hostname: str | None = None, **_: Any) -> socket.socket:
        """Connect to a server; what fails is closed, which kazoo's own function leaves to the garbage collector."""
        connection = socket.create_connection(address, self._patience)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls().wrap_socket(connection, server_hostname=hostname)
        except BaseException:
            connection.close()
            raise
        self._connection, self._asked_at = connection, None
        return connection

    def select(self, *args: Any, **kwargs: Any) -> Any:
        """Wait for a socket."""
        if not self.connected and len(args) == 4 and args[3] is not None:
            args = (*args[:3], min(args[3], self._patience))
        found = super().select(*args, **kwargs)
        if len(args[0]) > 1:  # kazoo's loop: the server's socket, and the one that tells of requests
            self._notice(found[0])
        return found

    def _notice(self, readable: list[Any]) -> None:
        if self._connection in readable:
            self._asked_at = None
        elif readable:
            now = time.monotonic()
            self._asked_at = now if self._asked_at is None else self._asked_at
            if now - self._asked_at > self._patience:
                self.hang_up()

    def spawn(self, func: Callable[..., object], *args: Any, **kwargs: Any) -> threading.Thread:
        """Begin a daemon thread."""
        name = f"configkit-zookeeper-{getattr(func, '__name__', 'work').strip('_')}"
        thread = threading.Thread(target=self._run, args=(func, args, kwargs), name=name, daemon=True)
        thread.start()
        return thread

    def hang_up(self) -> None:
        """Cut the connection, so that a client that waits for a silent server can end."""
        connection = self._connection
        if connection is not None:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def forget(self) -> None:
        """Close, in a forked child, what is the parent's: its session goes on."""
        atexit.unregister(self.stop)
        if self._connection is not None:
            self._connection.close()

    def _run(self, func: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            func(*args, **kwargs)
        except Exception:
            logger.debug("a thread of the ZooKeeper client ended", exc_info=True)
        finally:
            if getattr(func, "__name__", "") == "zk_loop":
                self.ended.set()
