"""
HTTP connections that cost no more than they may, whoever is at the other end.

Uvicorn waits for a request as long as it takes, keeps headers of any size, and keeps a connection whose peer reads
nothing. Here a request's head has a deadline and a size, the connections a number, and what nobody reads is given up.
All of that is before anybody's credentials are known.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from configkit_server.problems import (
    BAD_REQUEST,
    HEADERS_TOO_LARGE,
    RETRY_AFTER,
    SLOW_HEADERS,
    TOO_MANY_CONNECTIONS,
    ProblemError,
)

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

logger = logging.getLogger("configkit.server")

HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0
STALL_SECONDS = 10.0
"""So long a peer may read nothing of what waits for it."""
CLOSING_SECONDS = 1.0
"""So long it may take to read an answer after which the connection ends, or nothing while the server ends."""
SPARE = 64
"""So many connections beyond the limit are told why they are refused; further ones are not."""


def most_connections() -> int:
    """Return how many connections may be open: fewer than the process may open files, which the rest of it needs too."""
    try:
        import resource  # noqa: PLC0415  not on every system
    except ImportError:
        return 400
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 20_000 if files == resource.RLIM_INFINITY else min(20_000, max(files // 2, files - 4 * SPARE))


class BoundedProtocol(HttpToolsProtocol):
    """One connection of uvicorn's, with bounds."""

    head_seconds = HEAD_SECONDS
    stall_seconds = STALL_SECONDS

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._most = config.limit_concurrency or most_connections()
        self.limit_concurrency = None
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._is_surplus = False
        self._is_refused = False
        self._is_handed_over = False

    # -- what comes in -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or end at once where there are too many."""
        super().connection_made(transport)
        surplus = len(self.connections) - self._most
        self._is_surplus = surplus > 0
        if surplus > SPARE:
            transport.abort()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in some of a request."""
        if self._is_refused:
            return
        if self._is_surplus:
            self._refuse(ProblemError(TOO_MANY_CONNECTIONS, "close some, or try another server", headers=[RETRY_AFTER]))
            return
        if self._in_head:
            self._take_head(data)
        else:
            super().data_received(data)
        if self._head_timer is None and self._is_idle() and not self.transport.is_closing():
            self._expect_head()

    def _take_head(self, data: bytes) -> None:
        # What is left of the bound goes to the parser first, which keeps what it is given until the head is whole.
        room = HEAD_BYTES - self._head_bytes
        while len(data) > room:
            self._head_bytes += room
            super().data_received(data[:room])
            if self.transport.is_closing() or self._is_refused:
                return
            if self._head_bytes >= HEAD_BYTES:
                limit = f"a request's line and headers are at most {HEAD_BYTES // 1024} KiB together"
                self._refuse(ProblemError(HEADERS_TOO_LARGE, limit))
                return
            data, room = data[room:], HEAD_BYTES
            if not self._in_head:
                break
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Begin the request."""
        super().on_headers_complete()
        self._in_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def on_message_complete(self) -> None:
        """Expect the next request."""
        self._in_head = True
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to the other protocol."""
        self._is_handed_over = True
        self._stop_timers()
        super().handle_websocket_upgrade()

    def _is_idle(self) -> bool:
        """Whether nothing is carried out for this connection."""
        if self._is_handed_over:
            return False
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self._is_idle() or self.transport.is_closing():
            return
        if self._in_head and self._head_bytes:
            self._refuse(ProblemError(SLOW_HEADERS, f"send the whole head of a request within {self.head_seconds:g} s"))
        else:
            self._close()

    # -- what goes out -------------------------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words
        """Refuse what is no HTTP."""
        self._refuse(ProblemError(BAD_REQUEST, "this is not a well-formed HTTP/1.1 request"))

    def _refuse(self, problem: ProblemError) -> None:
        """Answer *problem* and close, reading on for a moment so that the caller sees the answer."""
        self._is_refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started:
                self.transport.abort()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(self._encoded(problem))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            if self._stall_timer is not None:
                self._stall_timer.cancel()
            self._stall_timer = self.loop.call_later(CLOSING_SECONDS, self.transport.abort)
        else:
            self._close()

    def _encoded(self, problem: ProblemError) -> bytes:
        request_id = os.urandom(8).hex()
        answer = problem.answer(request_id)
        logger.info("%s refused before it was a request: %d", request_id, answer.status)
        headers = [
            *self.server_state.default_headers,
            *answer.headers,
            (b"x-request-id", request_id.encode()),
            (b"content-type", answer.content_type),
            (b"content-length", str(len(answer.body)).encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return STATUS_LINE[answer.status] + lines + b"\r\n" + answer.body

    def _close(self) -> None:
        self.transport.close()
        self._watch(CLOSING_SECONDS)

    def on_response_complete(self) -> None:
        """Go on with the next request, or see to it that the connection ends."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch(self.stall_seconds)

    def pause_writing(self) -> None:
        """Wait until the peer has read some of what waits for it, but not for ever."""
        super().pause_writing()
        self._watch(self.stall_seconds)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        if self._stall_timer is not None and not self.transport.is_closing():
            self._stall_timer.cancel()
            self._stall_timer = None

    def shutdown(self) -> None:
        """End; a peer that reads nothing is not waited for."""
        super().shutdown()
        if self.transport.get_write_buffer_size():
            self._watch(CLOSING_SECONDS)

    def _watch(self, seconds: float) -> None:
        """Give the connection up unless something is read of it every so many *seconds*."""
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        waiting = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(seconds, self._check, waiting, seconds)

    def _check(self, before: int, seconds: float) -> None:
        self._stall_timer = None
        waiting = self.transport.get_write_buffer_size()
        if waiting >= before > 0:
            self._give_up()
        elif waiting:
            self._watch(seconds)

    def _give_up(self) -> None:
        """End the connection with all that waits to be read, which the system would keep for minutes otherwise."""
        opened = self.transport.get_extra_info("socket")
        if opened is not None:
            with suppress(OSError):
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._stall_timer = None
