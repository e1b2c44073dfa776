"""The contract of `EventBus`: what one client changes, the other is told."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from configkit.errors import ConfigKitError
from configkit.models import ConfigChanged, ConfigPath, Event, FlagChanged, RegistryChanged
from configkit.ports import EventBus
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN
from tests.waiting import eventually

PORT = "bus"


class Heard:
    """A subscriber that keeps what it was told; a `Resync` stands for anything that may have been missed."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def config(self, path: ConfigPath) -> list[ConfigChanged]:
        return [event for event in list(self.events) if isinstance(event, ConfigChanged) and event.path == path]

    def flag(self, name: str) -> list[FlagChanged]:
        return [event for event in list(self.events) if isinstance(event, FlagChanged) and event.name == name]

    def registry(self, service: str) -> list[RegistryChanged]:
        return [event for event in list(self.events) if isinstance(event, RegistryChanged) and event.service_name == service]


@contextmanager
def listening(bus: EventBus) -> Iterator[Heard]:
    heard = Heard()
    end = bus.subscribe(heard)
    try:
        yield heard
    finally:
        end()


def test_every_kind_of_change_of_a_value_is_told(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.other.config
    with listening(deployment.one.bus) as heard:
        store.create(path, 1, is_encrypted=False, origin=ORIGIN)
        store.update(path, 2, origin=ORIGIN)
        store.delete(path, origin=ORIGIN)
        store.rollback(path, 1, origin=ORIGIN)
        store.delete(path, origin=ORIGIN)
        store.create(path, 4, is_encrypted=True, origin=ORIGIN)
        wanted = {(1, False), (2, False), (2, True), (3, False), (3, True), (4, False)}
        eventually(lambda: {(event.version, event.deleted) for event in heard.config(path)} >= wanted)
        assert {(event.version, event.deleted) for event in heard.config(path)} == wanted
        assert all(fresh.is_recent(event.at) for event in heard.config(path))
        assert {event.changed_by for event in heard.config(path)} == {deployment.known_as or "ann"}


def test_every_kind_of_change_of_a_flag_is_told(deployment: Deployment) -> None:
    flag = fresh.flag()
    store = deployment.other.flags
    with listening(deployment.one.bus) as heard:
        created = store.create(flag, origin=ORIGIN)
        store.update("staging", flag.name, {"is_enabled": True}, origin=ORIGIN)
        store.delete("staging", flag.name, origin=ORIGIN)
        wanted = {(created.version, False), (created.version + 1, False), (created.version + 2, True)}
        eventually(lambda: {(event.version, event.deleted) for event in heard.flag(flag.name)} >= wanted)
        assert {event.environment for event in heard.flag(flag.name)} == {"staging"}


def test_coming_and_going_of_an_instance_is_told(deployment: Deployment) -> None:
    instance = fresh.instance()
    with listening(deployment.one.bus) as heard:
        deployment.other.registry.register(instance, origin=ORIGIN)
        eventually(lambda: heard.registry(instance.service_name))
        heard.events.clear()
        deployment.other.registry.deregister(instance.service_name, instance.instance_id, origin=ORIGIN)
        eventually(lambda: heard.registry(instance.service_name))


def test_a_client_is_told_of_its_own_changes_too(deployment: Deployment) -> None:
    path = fresh.path()
    with listening(deployment.one.bus) as heard:
        deployment.one.config.create(path, 1, is_encrypted=False, origin=ORIGIN)
        eventually(lambda: heard.config(path))


def test_a_change_is_told_within_a_second(deployment: Deployment) -> None:
    service = fresh.name("svc")
    delays = []
    with listening(deployment.one.bus) as heard:
        for number in range(9):
            path = fresh.path(f"k{number}", service=service)
            deployment.other.config.create(path, number, is_encrypted=False, origin=ORIGIN)
            written = time.monotonic()
            eventually(lambda path=path: heard.config(path))  # type: ignore[misc]
            delays.append(time.monotonic() - written)
    assert statistics.median(delays) < 1, delays


def test_what_can_be_read_when_a_change_is_told_is_that_change_or_a_later_one(deployment: Deployment) -> None:
    path = fresh.path()
    stale = []

    def look(event: Event) -> None:
        if isinstance(event, ConfigChanged) and event.path == path:
            assert event.version is not None
            stale.append(deployment.one.config.read(path).version < event.version)

    end = deployment.one.bus.subscribe(look)
    try:
        deployment.other.config.create(path, 0, is_encrypted=False, origin=ORIGIN)
        for number in range(5):
            deployment.other.config.update(path, number, origin=ORIGIN)
        eventually(lambda: len(stale) >= 6)
    finally:
        end()
    assert not any(stale)


def test_what_changed_nothing_is_not_told(deployment: Deployment) -> None:
    path, sentinel = fresh.path(), fresh.path()
    store = deployment.other.config
    store.create(path, 1, is_encrypted=False, origin=ORIGIN)
    with listening(deployment.one.bus) as early:
        store.create(sentinel, 1, is_encrypted=False, origin=ORIGIN)
        eventually(lambda: early.config(sentinel))
    with listening(deployment.one.bus) as heard:
        for attempt in (
            lambda: store.create(path, 2, is_encrypted=False, origin=ORIGIN),
            lambda: store.update(path, 2, origin=ORIGIN, expected_version=9),
            lambda: store.delete(path, origin=ORIGIN, expected_version=9),
            lambda: store.update(path, None, origin=ORIGIN),
            lambda: store.rollback(path, 9, origin=ORIGIN),
        ):
            with pytest.raises(ConfigKitError):
                attempt()
        store.update(sentinel, 2, origin=ORIGIN)
        eventually(lambda: any(event.version == 2 for event in heard.config(sentinel)))
        assert heard.config(path) == []


def test_events_have_ids_of_their_own_and_never_a_value(deployment: Deployment) -> None:
    path = fresh.path()
    with listening(deployment.one.bus) as heard:
        deployment.other.config.create(path, "canary-4711", is_encrypted=False, origin=ORIGIN, comment="canary-4712")
        deployment.other.config.update(path, "canary-4713", origin=ORIGIN)
        eventually(lambda: len(heard.config(path)) >= 2)
        assert "canary" not in repr(heard.events)
        ids = {event.version: event.id for event in heard.config(path)}
    assert len(set(ids.values())) == 2
    assert all(ids.values())


def test_every_subscriber_of_both_clients_is_told_under_the_same_id(deployment: Deployment) -> None:
    path = fresh.path()
    with (
        listening(deployment.one.bus) as first,
        listening(deployment.one.bus) as second,
        listening(deployment.other.bus) as third,
    ):
        deployment.one.config.create(path, 1, is_encrypted=False, origin=ORIGIN)
        for heard in (first, second, third):
            eventually(lambda heard=heard: heard.config(path))  # type: ignore[misc]
        assert len({event.id for heard in (first, second, third) for event in heard.config(path)}) == 1


def test_who_has_unsubscribed_is_told_nothing_more(deployment: Deployment) -> None:
    before, after = fresh.path(), fresh.path()
    gone = Heard()
    end = deployment.one.bus.subscribe(gone)
    with listening(deployment.one.bus) as stays:
        deployment.other.config.create(before, 1, is_encrypted=False, origin=ORIGIN)
        eventually(lambda: gone.config(before) and stays.config(before))
        end()
        deployment.other.config.create(after, 1, is_encrypted=False, origin=ORIGIN)
        eventually(lambda: stays.config(after))
    assert gone.config(after) == []


def test_unsubscribing_twice_or_while_being_told_is_harmless(deployment: Deployment) -> None:
    path, later = fresh.path(), fresh.path()
    told: list[Event] = []
    ended = threading.Event()

    def once(event: Event) -> None:
        if isinstance(event, ConfigChanged) and event.path in (path, later):
            told.append(event)
            end()
            ended.set()

    end = deployment.one.bus.subscribe(once)
    with listening(deployment.one.bus) as stays:
        deployment.other.config.create(path, 1, is_encrypted=False, origin=ORIGIN)
        assert ended.wait(5)
        end()
        deployment.other.config.create(later, 1, is_encrypted=False, origin=ORIGIN)
        eventually(lambda: stays.config(later))
    assert len(told) == 1


def test_a_subscriber_that_raises_harms_neither_itself_nor_others(deployment: Deployment) -> None:
    paths = [fresh.path() for _ in range(3)]
    attempts: list[ConfigPath] = []

    def raising(event: Event) -> None:
        if isinstance(event, ConfigChanged) and event.path in paths:
            attempts.append(event.path)
        raise RuntimeError("a subscriber's own fault")

    end = deployment.one.bus.subscribe(raising)
    try:
        with listening(deployment.one.bus) as heard:
            for path in paths:
                deployment.other.config.create(path, 1, is_encrypted=False, origin=ORIGIN)
            eventually(lambda: all(heard.config(path) for path in paths))
            eventually(lambda: set(attempts) == set(paths))
    finally:
        end()


def test_a_subscriber_may_read_and_write_while_it_is_told(deployment: Deployment) -> None:
    question, answer = fresh.path("question"), fresh.path("answer")

    def respond(event: Event) -> None:
        if isinstance(event, ConfigChanged) and event.path == question:
            value = deployment.one.config.read(question).value
            deployment.one.config.create(answer, value * 2, is_encrypted=False, origin=ORIGIN)

    end = deployment.one.bus.subscribe(respond)
    try:
        with listening(deployment.other.bus) as heard:
            deployment.other.config.create(question, 21, is_encrypted=False, origin=ORIGIN)
            eventually(lambda: heard.config(answer))
    finally:
        end()
    assert deployment.other.config.read(answer).value == 42


def test_one_subscriber_is_told_one_thing_at_a_time(deployment: Deployment) -> None:
    service = fresh.name("svc")
    busy = threading.Lock()
    overlapped, told = [], []

    def deliver(event: Event) -> None:
        if not busy.acquire(blocking=False):
            overlapped.append(event)
            return
        try:
            deployment.one.config.read_service("development", service)
            told.append(event)
        finally:
            busy.release()

    end = deployment.one.bus.subscribe(deliver)
    try:
        for number in range(20):
            client = (deployment.one, deployment.other)[number % 2]
            client.config.create(fresh.path(f"k{number}", service=service), number, is_encrypted=False, origin=ORIGIN)
        eventually(lambda: len(told) + len(overlapped) >= 20)
    finally:
        end()
    assert overlapped == []


def test_a_burst_of_changes_is_told_whole(deployment: Deployment) -> None:
    service = fresh.name("svc")
    paths = {fresh.path(f"k{number}", service=service) for number in range(100)}
    with listening(deployment.one.bus) as heard:
        for path in paths:
            deployment.other.config.create(path, 1, is_encrypted=False, origin=ORIGIN)
        eventually(lambda: paths <= {event.path for event in heard.events if isinstance(event, ConfigChanged)})
