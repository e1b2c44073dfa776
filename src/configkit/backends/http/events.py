"""Events through the server's stream, and what is done while there is none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from configkit import chance
from configkit.backends.http import wire
from configkit.backends.http.answers import json_object, unavailable
from configkit.backends.http.sse import EventParser, ServerSentEvent
from configkit.backends.http.transport import Call, Transport
from configkit.backends.memory.bus import Deliver, MemoryBus
from configkit.errors import AccessDeniedError, ClosedError, ConfigKitError
from configkit.models import Event, Resync

log = logging.getLogger(__name__)

CONNECT_WITHIN = 2.0
_LONGEST_PAUSE = 3.0
_SETTLED = 5.0
_DENIED_POLLS = 6


class HttpEventBus:
    """
    An `EventBus` on the event stream of a configkit server.

    All subscribers share one stream, which is open while there are any. While it is down, a `Resync` every *poll*
    seconds makes them read again, and it is opened again after a growing, jittered pause, from where it broke; a server
    that cannot go on from there begins with a `Resync`. Where the token may not listen, a sixth of that pace has to do.

    Args:
        connect: Makes the transport of one stream, which is closed with it.
        poll: Seconds.
        silence: Seconds without a byte after which the stream counts as lost; the server sends one at least every 15.
    """

    def __init__(self, connect: Callable[[], Transport], *, poll: float = 5.0, silence: float = 35.0) -> None:
        self._connect = connect
        self._poll = poll
        self._silence = silence
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._fanout = MemoryBus()
        self._active: set[Callable[[], None]] = set()
        self._stream: _Stream | None = None

    def subscribe(self, deliver: Deliver) -> Callable[[], None]:
        """Deliver every event to *deliver* from now on; the answer ends it. Raises `UnavailableError`."""
        with self._lock:
            if self._closed:
                raise ClosedError
            unsubscribe = self._fanout.subscribe(deliver)
            self._active.add(unsubscribe)
            if self._stream is None:
                self._stream = _Stream(self._connect(), self._fanout.publish, poll=self._poll, silence=self._silence)
            stream = self._stream
        try:
            stream.wait(CONNECT_WITHIN)
        except BaseException:
            self._end(unsubscribe)
            raise
        return lambda: self._end(unsubscribe)

    def close(self) -> None:
        """End every subscription and the stream; within a second."""
        with self._lock:
            self._closed = True
            self._active.clear()
            stream, self._stream = self._stream, None
        self._fanout.close()
        if stream is not None:
            stream.stop()

    def after_fork(self) -> None:
        """Forget the subscribers and the stream: both are the parent's."""
        stream = self._stream
        self._begin()
        if stream is not None:
            stream.abandon()

    def _end(self, unsubscribe: Callable[[], None]) -> None:
        with self._lock:
            if unsubscribe not in self._active:
                return
            self._active.discard(unsubscribe)
            stream = None
            if not self._active:
                stream, self._stream = self._stream, None
        unsubscribe()
        if stream is not None:
            stream.stop()


class _Stream:
    """
    One reading thread, from the first subscriber to the last.

    It ends by itself if the very first connection fails: then nobody has subscribed.
    """

    def __init__(self, transport: Transport, publish: Deliver, *, poll: float, silence: float) -> None:
        self._transport = transport
        self._publish = publish
        self._poll = poll
        self._silence = silence
        self._change = threading.Condition()
        self._stopped = False
        self._serves = False
        self._failure: ConfigKitError | None = None
        self._last_event_id = ""
        self._failures = 0
        self._complained = False
        self._read_again_at: float | None = None
        """When subscribers have to read again, because the stream is down; None: not down since it first stood."""
        self._thread = threading.Thread(target=self._run, name="configkit-events", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Return once events arrive, or polling has taken their place. Raises `UnavailableError`."""
        with self._change:
            self._change.wait_for(lambda: self._serves or self._stopped or self._failure, seconds)
            if self._serves:
                return
            if self._failure is not None:
                raise unavailable("subscribe", str(self._failure)) from self._failure
            if self._stopped:
                raise ClosedError
        raise unavailable("subscribe", f"no event stream from {self._transport.url} within {seconds:g} s")

    def stop(self) -> None:
        """Close the stream and end the thread."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        self._transport.close()
        self._thread.join(0.2)

    def abandon(self) -> None:
        """Forget the sockets of a parent process."""
        self._transport.after_fork()

    def _run(self) -> None:
        try:
            while not self._stopped:
                began = time.monotonic()
                try:
                    self._listen()
                except ClosedError:
                    return
                except ConfigKitError as error:
                    if self._read_again_at is None and not isinstance(error, AccessDeniedError):
                        self._fail(error)
                        return
                    self._failures = 0 if time.monotonic() - began > _SETTLED else self._failures + 1
                    self._stay_down(error)
        finally:
            self._transport.close()

    def _listen(self) -> None:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._last_event_id:
            headers["Last-Event-ID"] = self._last_event_id
        call = Call("subscribe", "GET", "/api/v1/events", headers=headers, reads=True)
        with self._transport.stream(call, within=CONNECT_WITHIN, silence=self._silence) as (answer, chunks):
            answer.expect(200)
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                raise unavailable("subscribe", "the answer is no event stream; is this a configkit server?")
            if self._read_again_at is not None and not self._last_event_id:
                self._publish(Resync("the event stream was interrupted"))
            self._read_again_at = time.monotonic()
            self._set(serves=True)
            self._read(chunks)
        raise unavailable("subscribe", "the server ended the stream")

    def _read(self, chunks: Iterator[bytes]) -> None:
        parser = EventParser(self._last_event_id)
        heard = time.monotonic()
        try:
            for chunk in chunks:
                heard = time.monotonic()
                for received in parser.feed(chunk):
                    self._take(received)
                self._last_event_id, self._complained = parser.last_event_id, False
        except ValueError as error:
            raise unavailable("subscribe", f"the stream is not one of events: {error}") from error
        finally:
            self._set(serves=False)
            self._read_again_at = time.monotonic() + self._poll
            if time.monotonic() - heard >= self._silence:
                self._last_event_id = ""  # nobody knows since when; reading again is surer than going on from there

    def _take(self, received: ServerSentEvent) -> None:
        event: Event | None
        try:
            event = wire.event(received.event, received.id, json_object(received.data))
        except (ConfigKitError, KeyError, TypeError, ValueError):
            log.warning("an event of kind %.40r cannot be read; everything is read again", received.event)
            event = Resync("an event could not be read")
        if event is not None:
            self._publish(event)

    def _fail(self, error: ConfigKitError) -> None:
        with self._change:
            self._failure = error
            self._change.notify_all()

    def _set(self, *, serves: bool) -> None:
        with self._change:
            self._serves = serves
            self._change.notify_all()

    def _stay_down(self, error: ConfigKitError) -> None:
        """Wait before the next try; meanwhile subscribers read again as often as polling would."""
        denied = isinstance(error, AccessDeniedError)
        pace = self._poll * _DENIED_POLLS if denied else self._poll
        if not self._complained:
            self._complained = True
            log.warning("no events (%s); reading again every %g s until there are", error, pace)
        if self._read_again_at is None:
            self._read_again_at = time.monotonic() + pace
        if denied:
            self._set(serves=True)
        pause = pace if denied else min(_LONGEST_PAUSE, 0.1 * 2 ** min(self._failures, 10)) * chance.uniform(0.5, 1.0)
        ends = time.monotonic() + pause
        while not self._stopped and (now := time.monotonic()) < ends:
            if now >= self._read_again_at:
                self._read_again_at = now + pace
                self._publish(Resync("no event stream"))
            with self._change:
                self._change.wait_for(lambda: self._stopped, min(ends, self._read_again_at) - now)
