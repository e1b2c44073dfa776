"""The event stream: delivered, resumed, replaced by polling, and closed."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial

import pytest

from configkit.backends.http.events import HttpEventBus
from configkit.backends.http.transport import Transport
from configkit.errors import ClosedError, UnavailableError
from configkit.models import AccessChanged, ConfigChanged, ConfigPath, Event, FlagChanged, RegistryChanged, Resync
from tests.unit.backends.http.conftest import Serve
from tests.unit.backends.http.servers import Reply, Request, Script, Server
from tests.waiting import eventually

AT = "2026-01-02T03:04:05.678901Z"
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
PATH = {"environment": "development", "service_name": "asr", "key": "model_path"}


def config_event(reply: Reply, identity: str, version: int = 4) -> bool:
    return reply.event("config", identity, type="config", **PATH, version=version, deleted=False, at=AT, changed_by="ann")


def bus_of(stack: ExitStack, url: str, *, poll: float = 5.0, silence: float = 35.0) -> HttpEventBus:
    bus = HttpEventBus(partial(Transport, url, deadline=5.0), poll=poll, silence=silence)
    stack.callback(bus.close)
    return bus


def reading_threads() -> int:
    return sum(thread.name == "configkit-events" for thread in threading.enumerate())


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events if not isinstance(event, Resync)]


def resyncs(events: list[Event]) -> list[Resync]:
    return [event for event in events if isinstance(event, Resync)]


def streaming(*, until: threading.Event | None = None, first: str | None = None) -> Script:
    """Send one event, if any, and keep the stream open until the test says so or the client goes."""

    def script(_: Request, reply: Reply) -> None:
        reply.begin_events()
        if first is not None:
            config_event(reply, first)
        if until is None:
            reply.wait_for_the_other_end()
        else:
            while not until.wait(0.01) and not reply.stopping.is_set():
                pass
        reply.close()

    return script


def test_each_kind_of_event_arrives_as_what_it_tells(serve: Serve, stack: ExitStack) -> None:
    def script(_: Request, reply: Reply) -> None:
        reply.begin_events()
        config_event(reply, "a-1")
        reply.event("flag", "a-2", environment="staging", name="new_ui", version=None, deleted=True, at=AT, changed_by=None)
        reply.event("registry", "a-3", service_name="asr", at=AT, changed_by="ann")
        reply.event("access", "a-4", at=AT, changed_by="root")
        reply.event("invented-later", "a-5", at=AT)
        reply.event("resync", "a-6", reason="reader too slow")
        reply.wait_for_the_other_end()

    events: list[Event] = []
    bus_of(stack, serve(script).url).subscribe(events.append)
    eventually(lambda: len(events) == 5)
    assert events == [
        ConfigChanged("a-1", ConfigPath("development", "asr", "model_path"), 4, False, WHEN, "ann"),
        FlagChanged("a-2", "staging", "new_ui", None, True, WHEN, None),
        RegistryChanged("a-3", "asr", WHEN, "ann"),
        AccessChanged("a-4", WHEN, "root"),
        Resync("reader too slow"),
    ]


@pytest.mark.parametrize("data", ["", "{", "[]", "{}", '{"at": "never"}', '{"at": "2026-01-02T03:04:05Z", "key": 3}'])
def test_an_event_that_cannot_be_read_makes_everything_be_read_again(serve: Serve, stack: ExitStack, data: str) -> None:
    def script(_: Request, reply: Reply) -> None:
        reply.begin_events()
        reply.send(f"event: config\ndata: {data}\n\n".encode())
        config_event(reply, "a-2")
        reply.wait_for_the_other_end()

    events: list[Event] = []
    bus_of(stack, serve(script).url).subscribe(events.append)
    eventually(lambda: ids(events) == ["a-2"])
    assert isinstance(events[0], Resync)


def test_events_arrive_however_the_bytes_are_cut(serve: Serve, stack: ExitStack) -> None:
    def script(_: Request, reply: Reply) -> None:
        reply.begin_events()
        text = 'event: registry\r\nid: ü-1\r\ndata: {"service_name": "größe",\r\ndata: "at": "2026-01-02T03:04:05Z"}\r\n\r\n'
        for byte in text.encode():
            reply.send(bytes([byte]))
        reply.wait_for_the_other_end()

    events: list[Event] = []
    bus_of(stack, serve(script).url).subscribe(events.append)
    eventually(lambda: events)
    assert events == [RegistryChanged("ü-1", "größe", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None)]


def test_subscribers_share_one_stream_and_the_last_one_closes_it(serve: Serve, stack: ExitStack) -> None:
    server = serve(streaming())
    bus = bus_of(stack, server.url)
    first, second = bus.subscribe(lambda _: None), bus.subscribe(lambda _: None)
    assert server.connections == 1
    first()
    first()
    assert server.gone == 0
    assert reading_threads() == 1
    second()
    eventually(lambda: reading_threads() == 0)
    bus.subscribe(lambda _: None)
    assert server.connections == 2


def test_a_subscriber_that_fails_or_hangs_harms_no_other(serve: Serve, stack: ExitStack, caplog: pytest.LogCaptureFixture) -> None:
    go, release = threading.Event(), threading.Event()

    def script(_: Request, reply: Reply) -> None:
        reply.begin_events()
        while not go.wait(0.01) and not reply.stopping.is_set():
            pass
        for number in range(3):
            config_event(reply, f"a-{number}")
        reply.wait_for_the_other_end()

    def fail(_: Event) -> None:
        raise RuntimeError("mine")

    def hang(_: Event) -> None:
        release.wait(10)

    events: list[Event] = []
    bus = bus_of(stack, serve(script).url)
    stack.callback(release.set)
    bus.subscribe(fail)
    bus.subscribe(hang)
    bus.subscribe(events.append)
    go.set()
    eventually(lambda: ids(events) == ["a-0", "a-1", "a-2"])
    eventually(lambda: "a subscriber failed" in caplog.text)


def test_a_broken_stream_goes_on_where_it_was(serve: Serve, stack: ExitStack) -> None:
    broken = threading.Event()

    def script(request: Request, reply: Reply) -> None:
        reply.begin_events()
        if "last-event-id" not in request.headers:
            config_event(reply, "a-1")
            config_event(reply, "a-2")
            broken.wait(5)
            reply.close()
        else:
            config_event(reply, "a-3")
            reply.wait_for_the_other_end()

    events: list[Event] = []
    server = serve(script)
    bus_of(stack, server.url).subscribe(events.append)
    eventually(lambda: len(events) == 2)
    broken.set()
    eventually(lambda: len(events) == 3)
    assert ids(events) == ["a-1", "a-2", "a-3"]
    assert server.requests[1].headers["last-event-id"] == "a-2"


def test_a_stream_that_broke_before_any_event_makes_everything_be_read_again(serve: Serve, stack: ExitStack) -> None:
    broken = threading.Event()
    events: list[Event] = []
    server = serve(streaming(until=broken))
    bus_of(stack, server.url).subscribe(events.append)
    assert events == []
    broken.set()
    eventually(lambda: resyncs(events))
    assert "last-event-id" not in server.requests[1].headers


def test_a_silent_stream_counts_as_lost(serve: Serve, stack: ExitStack) -> None:
    events: list[Event] = []
    server = serve(streaming(first="a-1"))
    bus_of(stack, server.url, silence=0.2).subscribe(events.append)
    eventually(lambda: len(server.requests) >= 2 and resyncs(events))
    assert "last-event-id" not in server.requests[1].headers


def test_a_stream_with_signs_of_life_is_kept(serve: Serve, stack: ExitStack) -> None:
    def script(_: Request, reply: Reply) -> None:
        reply.begin_events()
        for _beat in range(20):
            reply.stopping.wait(0.03)
            reply.send(b": still here\n\n")
        config_event(reply, "a-1")
        reply.wait_for_the_other_end()

    events: list[Event] = []
    server = serve(script)
    bus_of(stack, server.url, silence=0.4).subscribe(events.append)
    eventually(lambda: events)
    assert (ids(events), server.connections) == (["a-1"], 1)


def test_while_the_server_is_away_subscribers_read_again_at_every_poll_and_events_come_back_with_it(stack: ExitStack) -> None:
    events: list[Event] = []
    with Server(streaming(first="a-1")).running() as server:
        bus_of(stack, server.url, poll=0.05).subscribe(events.append)
        eventually(lambda: ids(events) == ["a-1"])
    eventually(lambda: len(resyncs(events)) >= 3)
    with Server(streaming(first="b-1")).running(server.port) as again:
        eventually(lambda: ids(events) == ["a-1", "b-1"])
        assert again.requests[0].headers["last-event-id"] == "a-1"
        known = len(events)
        assert not again.requests[1:]
        assert len(events) == known


def test_a_refused_connection_leaves_nothing_running(stack: ExitStack) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    bus = bus_of(stack, f"http://127.0.0.1:{port}")
    with pytest.raises(UnavailableError, match="refused"):
        bus.subscribe(print)
    eventually(lambda: reading_threads() == 0)
    events: list[Event] = []
    with Server(streaming(first="a-1")).running(port):
        bus.subscribe(events.append)
        eventually(lambda: ids(events) == ["a-1"])
        bus.close()


@pytest.mark.parametrize(
    "script",
    [
        lambda _, reply: reply.answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}),
        lambda _, reply: reply.answer(404, b"<html>Not Found</html>", {"Content-Type": "text/html"}),
        lambda _, reply: reply.problem(503, "unavailable"),
        lambda _, reply: reply.answer(302, b"", {"Location": "/elsewhere"}),
    ],
    ids=["welcome", "404", "503", "302"],
)
def test_what_is_no_stream_is_unavailable(serve: Serve, stack: ExitStack, script: Script) -> None:
    with pytest.raises(UnavailableError):
        bus_of(stack, serve(script).url).subscribe(print)
    eventually(lambda: reading_threads() == 0)


def test_a_hanging_server_is_given_up(serve: Serve, stack: ExitStack) -> None:
    bus = bus_of(stack, serve(lambda _, reply: reply.wait_for_the_other_end()).url)
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        bus.subscribe(print)
    assert time.monotonic() - began < 3.2
    eventually(lambda: reading_threads() == 0)


@pytest.mark.parametrize(("status", "kind"), [(401, "unauthenticated"), (403, "forbidden")])
def test_who_may_not_listen_polls_and_the_log_says_so_once(
    serve: Serve, stack: ExitStack, caplog: pytest.LogCaptureFixture, status: int, kind: str
) -> None:
    events: list[Event] = []
    server = serve(lambda _, reply: reply.problem(status, kind))
    with caplog.at_level(logging.WARNING):
        bus_of(stack, server.url, poll=0.01).subscribe(events.append)
        eventually(lambda: len(resyncs(events)) >= 3 and len(server.requests) >= 3)
    assert caplog.text.count("no events") == 1


def test_a_stream_that_is_allowed_again_makes_everything_be_read_again(serve: Serve, stack: ExitStack) -> None:
    def script(_: Request, reply: Reply) -> None:
        if len(server.requests) < 3:
            reply.problem(403, "forbidden")
        else:
            reply.begin_events()
            config_event(reply, "a-1")
            reply.wait_for_the_other_end()

    events: list[Event] = []
    server = serve(script)
    bus_of(stack, server.url, poll=0.01).subscribe(events.append)
    eventually(lambda: ids(events) == ["a-1"])
    assert isinstance(events[-2], Resync)


def test_an_endless_event_ends_the_stream(serve: Serve, stack: ExitStack) -> None:
    def script(request: Request, reply: Reply) -> None:
        reply.begin_events()
        if len(server.requests) == 1:
            while reply.send(b"data: " + b"x" * 65536):
                pass
            reply.close()
        else:
            config_event(reply, "a-1")
            reply.wait_for_the_other_end()

    events: list[Event] = []
    server = serve(script)
    bus_of(stack, server.url).subscribe(events.append)
    eventually(lambda: ids(events) == ["a-1"])
    assert resyncs(events)


def test_closing_is_quick_while_the_stream_is_waited_on(serve: Serve, stack: ExitStack) -> None:
    server = serve(streaming())
    bus = bus_of(stack, server.url)
    bus.subscribe(print)
    began = time.monotonic()
    bus.close()
    assert time.monotonic() - began < 1.0
    eventually(lambda: reading_threads() == 0)
    with pytest.raises(ClosedError):
        bus.subscribe(print)


def test_closing_is_quick_while_the_server_is_away(stack: ExitStack) -> None:
    with Server(streaming()).running() as server:
        bus = bus_of(stack, server.url)
        bus.subscribe(print)
    eventually(lambda: reading_threads() == 1)
    began = time.monotonic()
    bus.close()
    assert time.monotonic() - began < 1.0
    eventually(lambda: reading_threads() == 0)


def test_a_subscriber_may_end_its_own_subscription(serve: Serve, stack: ExitStack) -> None:
    ends: list[object] = []
    ready = threading.Event()

    def deliver(_: Event) -> None:
        ready.wait(5)
        unsubscribe()
        ends.append(True)

    unsubscribe = bus_of(stack, serve(streaming(first="a-1")).url).subscribe(deliver)
    ready.set()
    eventually(lambda: ends)
    eventually(lambda: reading_threads() == 0)
