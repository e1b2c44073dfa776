"""The stream of events."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from configkit.models import ConfigChanged, ConfigPath, Origin, Resync
from configkit.ports import SCOPES
from configkit_server.auth import Grant
from configkit_server.events import KEPT, WAITING, EventHub, Reader
from configkit_server.metrics import Metrics
from tests.server.deployment import CONFIG, FLAGS, PLACE, REGISTRY, Deployed, deployed, problem
from tests.waiting import eventually

EVENTS = "/api/v1/events"
EVERYTHING = Grant("test", frozenset(SCOPES))


class Listener:
    """Reads a stream on a thread."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.events: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.ended = threading.Event()
        self.begun = threading.Event()
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        try:
            for line in self.response.iter_lines():
                self.begun.set()
                if line.startswith("data: "):
                    self.events.append(json.loads(line[6:]))
                elif line.startswith("id: "):
                    self.ids.append(line[4:])
        except httpx2.HTTPError:
            pass
        finally:
            self.ended.set()


@contextmanager
def listening(server: Deployed, headers: dict[str, str] | None = None) -> Iterator[Listener]:
    with (
        httpx2.Client(base_url=server.url, timeout=20.0) as client,
        client.stream("GET", EVENTS, headers=headers or {}) as response,
    ):
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        listener = Listener(response)
        assert listener.begun.wait(5)
        try:
            yield listener
        finally:
            shutdown = response.extensions["network_stream"].get_extra_info("socket")
            with suppress(OSError):
                shutdown.shutdown(2)
            listener.thread.join(5)
    assert not listener.thread.is_alive()


def test_a_reader_whose_queue_is_full_is_still_told_to_read_everything_again() -> None:
    async def scene() -> list[bytes]:
        hub = EventHub(Metrics())
        hub.start()
        reader = hub.open(Reader(EVERYTHING), None)
        for number in range(WAITING):
            assert reader.put(b"%d" % number)
        hub.on_event(Resync("a gap"))
        await asyncio.sleep(0)
        return await reader.take(5)

    (only,) = asyncio.run(scene())
    assert b"event: resync" in only


def test_every_change_is_told_without_its_value(either: Deployed) -> None:
    with listening(either) as heard:
        either.create("a", "canary", is_encrypted=True)
        either.http.delete(f"{CONFIG}/a", params=PLACE)
        either.http.post(FLAGS, json={"name": "f", "environment": "staging"})
        either.http.post(f"{REGISTRY}/register", json={"service_name": "s", "service_url": "http://s:1"})
        eventually(lambda: len(heard.events) >= 4)
        told = [{name: value for name, value in event.items() if name not in ("at", "changed_by")} for event in heard.events[:4]]
    assert told == [
        {"type": "config", **PLACE, "key": "a", "version": 1, "deleted": False},
        {"type": "config", **PLACE, "key": "a", "version": 1, "deleted": True},
        {"type": "flag", "environment": "staging", "name": "f", "version": 1, "deleted": False},
        {"type": "registry", "service_name": "s"},
    ]
    assert "canary" not in json.dumps(heard.events)
    assert len(set(heard.ids)) == len(heard.ids)


def test_a_reader_goes_on_where_it_was(either: Deployed) -> None:
    with listening(either) as heard:
        either.create("a", 1)
        eventually(lambda: heard.events)
    last = heard.ids[-1]
    for key in ("b", "c"):
        either.create(key, 1)
    with listening(either, {"Last-Event-ID": last}) as again:
        eventually(lambda: len(again.events) == 2)
        either.create("d", 1)
        eventually(lambda: len(again.events) == 3)
    assert [event["key"] for event in again.events] == ["b", "c", "d"]


def test_an_unknown_place_is_told_to_read_everything_again(server: Deployed) -> None:
    server.create("a", 1)
    with listening(server, {"Last-Event-ID": "of-another-life"}) as heard:
        eventually(lambda: heard.events)
        server.create("b", 1)
        eventually(lambda: len(heard.events) == 2)
    assert [event["type"] for event in heard.events] == ["resync", "config"]


def test_a_reader_hears_only_what_its_token_reaches() -> None:
    with deployed() as server:
        admin = server.token("admin")
        limited = server.token("config:read", environments=frozenset({"development"}), services=frozenset({"mine"}))
        problem(server.http.get(EVENTS), 401)
        problem(server.http.get(EVENTS, headers=server.token("config:write")), 403, "forbidden")
        # Making a token ends the streams, and its event comes a moment later: wait for one that lasts.
        eventually(lambda: server.http.get("/metrics", headers=admin).text.count('configkit_events_total{kind="access"} 3') == 1)
        with listening(server, limited) as heard:
            server.create("a", 1, service_name="other", headers=admin)
            server.create("a", 1, service_name="mine", environment="production", headers=admin)
            server.http.post(FLAGS, json={"name": "f", "environment": "development"}, headers=admin)
            server.create("c", 1, service_name="_shared", headers=admin)
            server.create("b", 1, service_name="mine", headers=admin)
            eventually(lambda: heard.events[1:])
        assert [(event["service_name"], event["key"]) for event in heard.events] == [("_shared", "c"), ("mine", "b")]


def test_a_stream_ends_when_tokens_change() -> None:
    with deployed() as server:
        assert server.kit.backends.tokens is not None
        headers = server.token("config:read", name="gone")
        eventually(lambda: 'kind="access"' in server.http.get("/metrics", headers=headers).text)
        with listening(server, headers) as heard:
            server.kit.backends.tokens.revoke("gone", origin=Origin())
            assert heard.ended.wait(5)


def test_streams_hold_no_thread_and_end_with_the_server() -> None:
    with deployed() as server:
        server.create("warm", 1)
        server.http.get(CONFIG)
        before = threading.active_count()
        with httpx2.Client(base_url=server.url, timeout=10) as client:
            opened = [client.stream("GET", EVENTS) for _ in range(20)]
            responses = [each.__enter__() for each in opened]
            try:
                assert all(response.status_code == 200 for response in responses)
                assert threading.active_count() < before + 10
                metrics = server.http.get("/metrics").text
                assert "configkit_event_streams 20.0" in metrics
            finally:
                for each in opened:
                    each.__exit__(None, None, None)
        eventually(lambda: "configkit_event_streams 0.0" in server.http.get("/metrics").text)


def test_an_open_stream_does_not_hold_up_the_end() -> None:
    with deployed() as server:
        client = httpx2.Client(base_url=server.url, timeout=10)
        stream = client.stream("GET", EVENTS)
        response = stream.__enter__()
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert b"".join(response.iter_raw()).startswith(b": configkit")
    stream.__exit__(None, None, None)
    client.close()


def _changed(number: int) -> ConfigChanged:
    path = ConfigPath("development", "s", f"k{number}")
    return ConfigChanged(f"log-{number}", path, number, deleted=False, at=datetime.now(UTC))


async def _hub(*events: ConfigChanged | Resync) -> EventHub:
    hub = EventHub(Metrics())
    hub.start()
    for event in events:
        hub.on_event(event)
    await asyncio.sleep(0)
    return hub


@pytest.mark.once(reason="it has no server")
def test_a_slow_reader_is_told_to_read_again_and_the_others_are_not_held_up() -> None:
    async def scene() -> tuple[list[bytes], list[bytes]]:
        hub = await _hub()
        slow, quick = hub.open(Reader(EVERYTHING), None), hub.open(Reader(EVERYTHING), None)
        taken: list[bytes] = []
        for number in range(WAITING + 1):
            hub.on_event(_changed(number + 1))
            await asyncio.sleep(0)
            taken += await quick.take(1.0)
        return await slow.take(1.0), taken

    slow, quick = asyncio.run(scene())
    assert len(quick) == WAITING + 1
    assert len(slow) == 1
    assert b"event: resync" in slow[0]
    assert slow[0].startswith(f"id: log-{WAITING + 1}\n".encode())


@pytest.mark.once(reason="it has no server")
def test_a_place_that_is_too_far_back_is_unknown() -> None:
    async def scene(last: str) -> list[bytes]:
        hub = await _hub(*(_changed(number + 1) for number in range(KEPT + 10)))
        return await hub.open(Reader(EVERYTHING), last).take(1.0)

    assert b"resync" in asyncio.run(scene("log-5"))[0]
    assert b"resync" in asyncio.run(scene(f"log-{KEPT - WAITING}"))[0]
    assert len(asyncio.run(scene(f"log-{KEPT}"))) == 10


@pytest.mark.once(reason="it has no server")
def test_an_event_that_comes_twice_is_told_once() -> None:
    async def scene() -> list[bytes]:
        hub = await _hub()
        reader = hub.open(Reader(EVERYTHING), None)
        for number in (1, 2, 1, 2, 3):
            hub.on_event(_changed(number))
        await asyncio.sleep(0)
        return await reader.take(1.0)

    assert [frame.split(b"\n")[0] for frame in asyncio.run(scene())] == [b"id: log-1", b"id: log-2", b"id: log-3"]


@pytest.mark.once(reason="it has no server")
def test_a_gap_on_the_bus_is_told_and_forgets_every_place() -> None:
    async def scene() -> tuple[list[bytes], list[bytes]]:
        hub = await _hub(_changed(1))
        reader = hub.open(Reader(EVERYTHING), None)
        hub.on_event(Resync("a gap"))
        await asyncio.sleep(0)
        return await reader.take(1.0), await hub.open(Reader(EVERYTHING), "log-1").take(1.0)

    for frames in asyncio.run(scene()):
        assert b"event: resync" in frames[0]
