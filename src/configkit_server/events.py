"""
The event stream: what changed, told to any number of readers, none of whom holds a thread or can hold up another.

Recent events are kept, so that a reader that comes back goes on where it was. A reader whose place is unknown, and one
that cannot keep up, is told once to read everything again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from starlette.types import Receive, Send

from configkit.models import AccessChanged, ConfigChanged, Event, FlagChanged, RegistryChanged, Resync
from configkit_server.auth import Grant
from configkit_server.metrics import Metrics

KEPT = 4096
WAITING = 256
KEEP_ALIVE_SECONDS = 15.0
SEND_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it is sent, and what decides who may see it."""

    id: str
    kind: str
    environment: str | None
    service_name: str | None
    text: bytes


_SCOPES = {"config": "config:read", "flag": "flags:read", "registry": "registry:read", "access": "admin"}


def sees(grant: Grant, frame: Frame) -> bool:
    """Whether a caller with *grant* may know of *frame*."""
    return (
        grant.allows(_SCOPES[frame.kind])  # type: ignore[arg-type]
        and (frame.environment is None or grant.reaches_environment(frame.environment))
        and (frame.service_name is None or _reaches(grant, frame.kind, frame.service_name))
    )


def _reaches(grant: Grant, kind: str, service_name: str) -> bool:
    return grant.reads_service(service_name) if kind == "config" else grant.reaches_service(service_name)


def frame_of(event: ConfigChanged | FlagChanged | RegistryChanged | AccessChanged) -> Frame:
    """Return *event* as it goes over the wire: what changed, and never a value."""
    environment = service_name = None
    about: dict[str, Any] = {}
    if isinstance(event, ConfigChanged):
        kind, environment, service_name = "config", event.path.environment, event.path.service_name
        about = {"environment": environment, "service_name": service_name, "key": event.path.key}
        about |= {"version": event.version, "deleted": event.deleted}
    elif isinstance(event, FlagChanged):
        kind, environment = "flag", event.environment
        about = {"environment": environment, "name": event.name, "version": event.version, "deleted": event.deleted}
    elif isinstance(event, RegistryChanged):
        kind, service_name = "registry", event.service_name
        about = {"service_name": service_name}
    else:
        kind = "access"
    data = to_json({"type": kind, **about, "at": event.at, "changed_by": event.changed_by})
    text = b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), kind.encode(), data)
    return Frame(event.id, kind, environment, service_name, text)


class Reader:
    """
    One open stream: a bounded queue of frames that forgets everything when it is full.

    This one is told of every event that its grant may know of; others choose, and put it in their own words.
    """

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.ended = False
        self._frames: deque[bytes] = deque()
        self._wake = asyncio.Event()

    def of_event(self, frame: Frame) -> bytes | None:
        """Return what to send of an event; None: nothing."""
        return frame.text if sees(self.grant, frame) else None

    def of_set(self, environment: str) -> bytes | None:  # noqa: ARG002  the events tell of the same
        """Return what to send once this server decides by new flags of *environment*; None: nothing."""
        return None

    def of_gap(self, place: bytes, reason: str) -> bytes:
        """Return what to send where events may have been missed; *place* is the line with the last one's id."""
        return place + b"event: resync\ndata: %b\n\n" % to_json({"type": "resync", "reason": reason})

    def put(self, text: bytes) -> bool:
        """Queue *text*; False if the reader is too slow, and everything queued was dropped."""
        if len(self._frames) >= WAITING:
            self._frames.clear()
            return False
        self._frames.append(text)
        self._wake.set()
        return True

    def restart(self, text: bytes) -> None:
        """Queue *text* in the place of everything queued, which it makes needless."""
        self._frames.clear()
        self.put(text)

    def end(self) -> None:
        """Send what is queued, then end."""
        self.ended = True
        self._wake.set()

    async def take(self, seconds: float) -> list[bytes]:
        """Return what is queued; empty after *seconds* of silence, or at the end."""
        if not self._frames and not self.ended:
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                return []
        self._wake.clear()
        frames = list(self._frames)
        self._frames.clear()
        return frames


class EventHub:
    """Takes events from any thread, keeps the recent ones, and hands them to the readers on the event loop."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._recent: deque[Frame] = deque(maxlen=KEPT)
        self._told: dict[str, None] = {}
        self._readers: set[Reader] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    def start(self) -> None:
        """Deliver on the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def on_event(self, event: Event) -> None:
        """Take in an event, on any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._publish, event)
            except RuntimeError:  # the loop was closed since
                return

    def on_set(self, environment: str) -> None:
        """Take in, on any thread, that this server decides by new flags of *environment* from now on."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._tell_of_set, environment)
            except RuntimeError:  # the loop was closed since
                return

    def _tell_of_set(self, environment: str) -> None:
        for reader in self._readers:
            text = reader.of_set(environment)
            if text is not None:
                reader.restart(text)

    def drain(self) -> None:
        """End every stream, and refuse new ones."""
        self._closing = True
        for reader in self._readers:
            reader.end()

    def drain_soon(self) -> None:
        """Do as `drain` does, from a signal handler or another thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self.drain)

    def open(self, reader: Reader, last_event_id: str | None) -> Reader:
        """Let *reader* go on after *last_event_id*, or be told to read everything again, and return it."""
        if last_event_id is not None:
            self._resume(reader, last_event_id)
        if self._closing:
            reader.end()
        self._readers.add(reader)
        self._metrics.streams.set(len(self._readers))
        return reader

    def close(self, reader: Reader) -> None:
        """Forget *reader*."""
        self._readers.discard(reader)
        self._metrics.streams.set(len(self._readers))

    def _resume(self, reader: Reader, last_event_id: str) -> None:
        missed: list[Frame] = []
        for frame in reversed(self._recent):
            if frame.id == last_event_id:
                break
            missed.append(frame)
        else:
            self._tell_resync(reader, "unknown event id")
            return
        texts = [text for frame in reversed(missed) if (text := reader.of_event(frame)) is not None]
        if len(texts) > WAITING or not all(map(reader.put, texts)):
            self._tell_resync(reader, "too many events were missed")

    def _publish(self, event: Event) -> None:
        if isinstance(event, Resync):
            self._recent.clear()
            self._metrics.events.labels("resync").inc()
            for reader in self._readers:
                self._tell_resync(reader, "events may have been missed")
            return
        frame = frame_of(event)
        if self._was_told(frame.id):
            return
        self._metrics.events.labels(frame.kind).inc()
        self._recent.append(frame)
        for reader in self._readers:
            text = reader.of_event(frame)
            if text is not None and not reader.put(text):
                self._tell_resync(reader, "reader too slow")
        if isinstance(event, AccessChanged):
            # A token may have been revoked: readers come back, and show what they have.
            for reader in self._readers:
                reader.end()

    def _was_told(self, event_id: str) -> bool:
        """Whether the event came before: several buses may tell of one change, and each of them more than once."""
        if event_id in self._told:
            return True
        self._told[event_id] = None
        if len(self._told) > KEPT:
            del self._told[next(iter(self._told))]
        return False

    def _tell_resync(self, reader: Reader, reason: str) -> None:
        self._metrics.resyncs.inc()
        place = b"id: %b\n" % self._recent[-1].id.encode() if self._recent else b""
        reader.restart(reader.of_gap(place, reason))


def stream(hub: EventHub, open_reader: Callable[[], Reader], head: Iterable[tuple[bytes, bytes]]) -> Any:
    """Return what sends an event stream until its reader goes away or the hub ends it."""

    async def send_stream(receive: Receive, send: Send) -> None:
        reader = open_reader()
        gone = asyncio.create_task(_wait_for_end(receive, reader))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(head)})
            await _send(send, b": configkit\nretry: 1000\n\n")
            while not gone.done():
                frames = await reader.take(KEEP_ALIVE_SECONDS)
                if gone.done() or not await _send(send, b"".join(frames) or (b"" if reader.ended else b": still here\n\n")):
                    return
                if reader.ended:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    return
        finally:
            hub.close(reader)
            gone.cancel()

    return send_stream


async def _send(send: Send, body: bytes) -> bool:
    """Send *body*; False if the reader takes nothing for so long that its connection is not worth keeping."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": True})
    except TimeoutError:
        return False
    return True


async def _wait_for_end(receive: Receive, reader: Reader) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.end()
