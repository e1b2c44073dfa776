"""A Kafka that hangs, dies, forgets its records or its topic, and refuses credentials: a real one, of these tests' own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from scripts.services import Server

from configkit.backends.kafka import Address
from configkit.backends.kafka.driver import TopicPartition
from configkit.backends.kafka.events import KafkaEvents
from configkit.errors import AccessDeniedError, BackendError, UnavailableError
from tests.unit.backends.kafka.conftest import Heard, Open, admin, event
from tests.waiting import eventually

DEADLINE = 1.5
BOUND = DEADLINE + 0.35


@pytest.fixture
def address(server: Server) -> Address:
    return Address(server.env["KAFKA_BOOTSTRAP_SERVERS"])


def seconds(call: Callable[[], object], *, error: type[BackendError] = UnavailableError) -> float:
    began = time.monotonic()
    with pytest.raises(error):
        call()
    return time.monotonic() - began


@contextmanager
def hanging(server: Server) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


def publishes(events: KafkaEvents, number: int) -> bool:
    try:
        events.publisher.publish([event(number)])
    except UnavailableError:
        return False
    return True


def test_a_kafka_that_hangs_fails_each_call_by_the_deadline_and_goes_on_afterwards(
    server: Server, address: Address, opened: Open, topic: str
) -> None:
    events = opened(address, topic, deadline=DEADLINE)
    heard = Heard()
    events.bus.subscribe(heard)
    events.publisher.publish([event(0)])
    with hanging(server):
        newcomer = opened(address, topic, deadline=DEADLINE)
        took = [
            seconds(lambda: events.publisher.publish([event(1)])),
            seconds(lambda: events.publisher.publish([event(1)])),
            seconds(lambda: newcomer.bus.subscribe(Heard())),
            seconds(newcomer.ping),
        ]
        eventually(lambda: events.bus._reader is None, timeout=10)
        assert seconds(lambda: events.bus.subscribe(Heard())) < 0.1
    assert max(took) < BOUND, took
    began = time.monotonic()
    eventually(lambda: publishes(events, 2), timeout=10)
    eventually(lambda: heard.resyncs, timeout=10)
    assert time.monotonic() - began < 5
    events.publisher.publish([event(3)])
    eventually(lambda: "e-3" in heard.ids)


def test_a_kafka_that_was_killed_is_read_again_soon_after_it_is_back(
    server: Server, address: Address, opened: Open, topic: str
) -> None:
    events, other = opened(address, topic, deadline=DEADLINE), opened(address, topic, deadline=DEADLINE)
    heard = Heard()
    events.bus.subscribe(heard)
    other.publisher.publish([event(0)])
    eventually(lambda: heard.ids == ["e-0"])
    server.kill()
    try:
        assert seconds(lambda: other.publisher.publish([event(1)])) < BOUND
        eventually(lambda: events.bus._reader is None, timeout=10)
    finally:
        server.start()
    began = time.monotonic()
    eventually(lambda: publishes(other, 2), timeout=10)
    eventually(lambda: heard.resyncs, timeout=10)
    assert time.monotonic() - began < 5
    other.publisher.publish([event(3)])
    eventually(lambda: "e-3" in heard.ids)


def test_a_topic_that_was_deleted_is_made_anew_and_everything_is_read_again(
    server: Server, address: Address, opened: Open, topic: str
) -> None:
    events, other = opened(address, topic, deadline=DEADLINE), opened(address, topic, deadline=DEADLINE)
    heard = Heard()
    events.bus.subscribe(heard)
    other.publisher.publish([event(0)])
    with closing(admin(address)) as client:
        client.delete_topics([topic])
    eventually(lambda: publishes(other, 1), timeout=15)
    eventually(lambda: heard.resyncs, timeout=10)
    eventually(lambda: publishes(other, 2), timeout=15)
    eventually(lambda: "e-2" in heard.ids, timeout=10)


def test_a_topic_that_somebody_made_anew_between_two_looks_is_a_gap_too(
    server: Server, address: Address, opened: Open, topic: str
) -> None:
    events = opened(address, topic, deadline=DEADLINE)
    heard = Heard()
    events.bus.subscribe(heard)
    with closing(admin(address)) as client:
        client.delete_topics([topic])
        eventually(lambda: not client.describe_topics([topic])[0]["partitions"])
        client.create_topics({topic: {"num_partitions": 3, "replication_factor": 1}})
    eventually(lambda: heard.resyncs, timeout=10)
    eventually(lambda: publishes(events, 1), timeout=10)
    eventually(lambda: "e-1" in heard.ids, timeout=10)


def test_records_that_are_gone_before_they_were_read_are_a_gap(server: Server, address: Address, opened: Open, topic: str) -> None:
    """As after a pause of the process that was longer than the topic keeps its records."""
    events, other = opened(address, topic), opened(address, topic)
    heard, go_on = Heard(), threading.Event()
    told = threading.Event()

    def slowly(received: object) -> None:
        told.set()
        assert go_on.wait(20)

    events.bus.subscribe(slowly)
    events.bus.subscribe(heard)
    other.publisher.publish([event(0)])
    assert told.wait(5)
    for _ in range(10):  # more than is read ahead
        other.publisher.publish([replace(event(number), changed_by="x" * 256) for number in range(1, 1001)])
    with closing(admin(address)) as client:
        client.delete_records({TopicPartition(topic, number): -1 for number in range(3)})
    go_on.set()
    eventually(lambda: heard.resyncs, timeout=10)
    other.publisher.publish([event(99)])
    eventually(lambda: "e-99" in heard.ids, timeout=10)


def test_an_account_proved_by_sasl_publishes_and_reads(server: Server, opened: Open, topic: str) -> None:
    place = server.place
    sasl = f"127.0.0.1:{place.ports['sasl']}"
    events = opened(Address(sasl, "SASL_PLAINTEXT", "PLAIN", "configkit", place.passwords["sasl"]), topic)
    heard = Heard()
    events.bus.subscribe(heard)
    events.publisher.publish([event(0)])
    eventually(lambda: heard.ids == ["e-0"])


def test_refused_credentials_are_denied_by_the_deadline_and_never_shown(server: Server, opened: Open, topic: str) -> None:
    sasl = f"127.0.0.1:{server.place.ports['sasl']}"
    events = opened(Address(sasl, "SASL_PLAINTEXT", "PLAIN", "configkit", "wrong-4711"), topic, deadline=DEADLINE)
    for call in (lambda: events.publisher.publish([event(0)]), lambda: events.bus.subscribe(Heard()), events.ping):
        began = time.monotonic()
        with pytest.raises(AccessDeniedError) as raised:
            call()
        assert time.monotonic() - began < BOUND
        assert "4711" not in str(raised.value)


def test_over_tls_with_a_trusted_certificate_events_are_published_and_read(server: Server, opened: Open, topic: str) -> None:
    tls = f"127.0.0.1:{server.place.ports['tls']}"
    events = opened(Address(tls, "SSL", ca_file=str(server.place.certificate)), topic)
    heard = Heard()
    events.bus.subscribe(heard)
    events.publisher.publish([event(0)])
    eventually(lambda: heard.ids == ["e-0"])


def test_a_broker_whose_certificate_is_not_trusted_is_not_used(server: Server, opened: Open, topic: str) -> None:
    tls = f"127.0.0.1:{server.place.ports['tls']}"
    events = opened(Address(tls, "SSL"), topic, deadline=DEADLINE)
    assert seconds(lambda: events.publisher.publish([event(0)])) < BOUND
    assert seconds(lambda: events.bus.subscribe(Heard())) < BOUND
