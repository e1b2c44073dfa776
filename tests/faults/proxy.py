"""A TCP proxy that delays answers, cuts connections and leaves them half open."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from scripts.services.places import LOOPBACK, free_port

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST

_Pair = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


class Proxy:
    """
    Forwards connections to a port of loopback.

    Attributes:
        delay: Seconds by which what the server sends is late.
        holds_after: From the first request on that contains this, answers are held.
        holds_answers: What the server sends does not arrive; what is sent to it does.
        asked: How many pieces were sent to the server: small requests are one each.
        refuses: New connections are reset at once.
        silent: Half open: connections are made and stay, and nothing passes. What was made before or meanwhile never
            passes anything again, as after a router has lost its state.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.delay = 0.0
        self.holds_answers = False
        self.holds_after: bytes | None = None
        self.refuses = False
        self.silent = False
        self.accepted = 0
        self.asked = 0
        self._target = target
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy to {target}", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, LOOPBACK, self.port), self._loop).result(
            5
        )

    def cut(self) -> None:
        """Reset every connection."""
        self._call(self._reset_all)

    def heal(self) -> None:
        """Be a plain proxy again, for connections that are made from now on if it was silent."""
        self.holds_after = None
        self.delay, self.holds_answers, self.refuses, self.silent = 0.0, False, False, False

    def close(self) -> None:
        """Reset every connection and end."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _call(self, act: Callable[[], None]) -> None:
        done = threading.Event()

        def carry_out() -> None:
            act()
            done.set()

        self._loop.call_soon_threadsafe(carry_out)
        assert done.wait(5)

    def _reset_all(self) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                _reset(writer)

    async def _end(self) -> None:
        self._server.close()
        self._reset_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.refuses:
                _reset(writer)
            else:
                await self._forward(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            _reset(writer)
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lost = asyncio.Event()
        if self.silent:
            lost.set()
            await reader.read(-1)
            return
        server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._target)
        pair = (writer, server_writer)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, server_writer, lost, answers=False))
                group.create_task(self._pump(server_reader, writer, lost, answers=True))
        except* OSError:
            pass
        finally:
            self._pairs.discard(pair)
            _reset(server_writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event, *, answers: bool
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)
        clock = self._loop.time

        async def take_in() -> None:
            chunk = b"more"
            while chunk:
                chunk = await reader.read(_CHUNK)
                self.asked += not answers and bool(chunk)
                if not answers and self.holds_after is not None and self.holds_after in chunk:
                    self.holds_answers = True
                await queue.put((clock() + (self.delay if answers else 0.0), chunk))

        async def pass_on() -> None:
            while True:
                due, chunk = await queue.get()
                if (wait := due - clock()) > 0:
                    await asyncio.sleep(wait)
                while answers and self.holds_answers:  # noqa: ASYNC110  it is set on other threads
                    await asyncio.sleep(0.005)
                if self.silent:
                    lost.set()
                if lost.is_set():
                    continue
                if not chunk:
                    with suppress(OSError):
                        writer.write_eof()
                    return
                writer.write(chunk)
                await writer.drain()

        taking = self._loop.create_task(take_in())
        try:
            await pass_on()
        finally:
            taking.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await taking


def _reset(writer: asyncio.StreamWriter) -> None:
    transport = writer.transport
    found = transport.get_extra_info("socket")
    if found is not None and not transport.is_closing():
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """Give a proxy to the port *target*."""
    made = Proxy(target)
    try:
        yield made
    finally:
        made.close()
