"""Publishing and delivering on the real Kafka."""

from __future__ import annotations

import os
import statistics
import threading
import time
from contextlib import closing

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat

from configkit.backends.kafka import Address, open_kafka
from configkit.backends.kafka.address import MECHANISMS
from configkit.backends.kafka.cloudevents import encode
from configkit.backends.kafka.driver import KafkaConsumer, TopicPartition, making, options
from configkit.errors import ClosedError, InvalidDocumentError, UnavailableError
from configkit.models import ConfigChanged, Event
from tests.unit.backends.kafka.conftest import Heard, Open, admin, event, producer
from tests.waiting import eventually


def test_the_topic_is_made_where_it_is_absent(opened: Open, brokers: Address, topic: str) -> None:
    opened(brokers, topic).ping()
    with closing(admin(brokers)) as client:
        (made,) = client.describe_topics([topic])
    assert len(made["partitions"]) == 3
    opened(brokers, topic).ping()


def test_many_processes_that_make_the_topic_at_once_all_succeed(opened: Open, brokers: Address, topic: str) -> None:
    failures: list[BaseException] = []

    def ping() -> None:
        try:
            opened(brokers, topic).ping()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=ping) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []


def test_what_was_published_before_anybody_listened_is_not_told(opened: Open, brokers: Address, topic: str) -> None:
    one, other = opened(brokers, topic), opened(brokers, topic)
    one.publisher.publish([event(number) for number in range(5)])
    heard = Heard()
    other.bus.subscribe(heard)
    one.publisher.publish([event(5)])
    eventually(lambda: heard.ids)
    assert heard.ids == ["e-5"]
    assert heard.resyncs == 0


def test_changes_of_one_document_are_told_in_their_order(opened: Open, brokers: Address, topic: str) -> None:
    events = opened(brokers, topic)
    heard = Heard()
    events.bus.subscribe(heard)
    changes = [ConfigChanged(f"v{number}", event(0).path, number, deleted=False, at=event(0).at) for number in range(1, 101)]
    events.publisher.publish(changes)
    eventually(lambda: len(heard.events) == 100)
    assert heard.events == changes


def test_every_process_is_told_everything(opened: Open, brokers: Address, topic: str) -> None:
    processes = [opened(brokers, topic) for _ in range(3)]
    listeners = [Heard() for _ in processes]
    for process, heard in zip(processes, listeners, strict=True):
        process.bus.subscribe(heard)
    processes[0].publisher.publish([event(number) for number in range(50)])
    wanted = {f"e-{number}" for number in range(50)}
    eventually(lambda: all(set(heard.ids) == wanted for heard in listeners))


def test_from_publishing_to_delivery_it_takes_a_tenth_of_a_second_at_most(opened: Open, brokers: Address, topic: str) -> None:
    one, other = opened(brokers, topic), opened(brokers, topic)
    at: dict[str, float] = {}

    def note(told: Event) -> None:
        assert isinstance(told, ConfigChanged)
        at.setdefault(told.id, time.monotonic())

    other.bus.subscribe(note)
    delays = []
    for number in range(50):
        began = time.monotonic()
        one.publisher.publish([event(number)])
        eventually(lambda number=number: f"e-{number}" in at, every=0.001)  # type: ignore[misc]
        delays.append(at[f"e-{number}"] - began)
    assert statistics.median(delays) < 0.1, sorted(delays)


def test_the_record_is_a_cloud_event_to_the_reference_library(opened: Open, brokers: Address, topic: str) -> None:
    opened(brokers, topic).publisher.publish([event(7)])
    partitions = [TopicPartition(topic, number) for number in range(3)]
    arguments = options(brokers, seconds=5.0) | {"group_id": None, "auto_offset_reset": "earliest", "metrics_enabled": False}
    with making(arguments):
        consumer = KafkaConsumer(**arguments)
    with closing(consumer):
        consumer.assign(partitions)
        records = eventually(lambda: [record for found in consumer.poll(timeout_ms=500).values() for record in found])
    (record,) = records
    read = from_kafka(KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value), JSONFormat())
    assert (read.get_id(), read.get_subject()) == ("e-7", "development/asr/k7")
    assert record.key == b"development/asr/k7"


def test_foreign_and_broken_records_are_skipped_with_one_line(
    opened: Open, brokers: Address, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    events = opened(brokers, topic)
    heard = Heard()
    events.bus.subscribe(heard)
    with closing(producer(brokers)) as foreign:
        for number in range(20):
            foreign.send(topic, key=b"x", value=b"canary-4711 %d" % number).get(5)
        foreign.send(topic, key=b"x", value=b"canary-4711", headers=list(encode(event(0)).headers)).get(5)
        foreign.send(topic, key=b"x", value=None).get(5)
    events.publisher.publish([event(number) for number in range(10)])
    eventually(lambda: len(heard.ids) == 10)
    assert heard.resyncs == 0
    skipped = [record for record in caplog.records if "skipped" in record.message and record.levelname == "WARNING"]
    assert 1 <= len(skipped) <= 3
    assert "canary" not in caplog.text


def test_partitions_that_are_added_are_read_from_their_beginning(opened: Open, brokers: Address, topic: str) -> None:
    events = opened(brokers, topic)
    heard = Heard()
    events.bus.subscribe(heard)
    with closing(admin(brokers)) as client:
        client.create_partitions({topic: 6})
        eventually(lambda: len(client.describe_topics([topic])[0]["partitions"]) == 6)
    with closing(producer(brokers)) as direct:
        for partition in range(6):
            record = encode(event(partition))
            eventually(lambda: len(direct.partitions_for(topic)) == 6, timeout=10)
            direct.send(topic, key=record.key, value=record.value, headers=list(record.headers), partition=partition).get(5)
    eventually(lambda: set(heard.ids) == {f"e-{number}" for number in range(6)}, timeout=10)
    assert heard.resyncs == 0


def test_nobody_at_the_address_is_unavailable_by_the_deadline(opened: Open, topic: str) -> None:
    events = opened(Address("127.0.0.1:1"), topic, deadline=0.5)
    for call in (lambda: events.bus.subscribe(Heard()), lambda: events.publisher.publish([event(0)]), events.ping):
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            call()
        assert time.monotonic() - began < 0.8


def test_closing_is_quick_and_later_calls_are_refused(opened: Open, brokers: Address, topic: str) -> None:
    others = set(threading.enumerate())
    events = opened(brokers, topic)
    events.bus.subscribe(Heard())
    events.publisher.publish([event(0)])
    began = time.monotonic()
    events.close()
    events.close()
    assert time.monotonic() - began < 1.5
    with pytest.raises(ClosedError):
        events.bus.subscribe(Heard())
    with pytest.raises(ClosedError):
        events.publisher.publish([event(0)])
    eventually(lambda: set(threading.enumerate()) <= others)


def test_a_forked_child_publishes_and_is_told_by_connections_of_its_own(opened: Open, brokers: Address, topic: str) -> None:
    events = opened(brokers, topic)
    heard = Heard()
    events.bus.subscribe(heard)
    events.publisher.publish([event(0)])
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            events.after_fork()
            own = Heard()
            events.bus.subscribe(own)
            events.publisher.publish([event(1)])
            eventually(lambda: own.ids == ["e-1"])
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    eventually(lambda: heard.ids == ["e-0", "e-1"])
    events.publisher.publish([event(2)])
    eventually(lambda: heard.ids == ["e-0", "e-1", "e-2"])
    assert heard.resyncs == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"servers": ""},
        {"servers": "localhost"},
        {"servers": "http://localhost:9092"},
        {"servers": "a:1", "protocol": "TLS"},
        {"servers": "a:1", "protocol": "SASL_SSL"},
        {"servers": "a:1", "mechanism": "GSSAPI"},
        {"servers": "a:1", "ca_file": "/nowhere/ca.pem"},
    ],
)
def test_a_wrong_address_is_refused_at_once(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidDocumentError):
        Address(**wrong)


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ä", "x" * 250, "a/b"])
def test_a_name_that_is_no_topic_is_refused_at_once(name: str) -> None:
    with pytest.raises(InvalidDocumentError):
        open_kafka(Address("127.0.0.1:1"), topic=name)


def test_the_password_is_not_shown() -> None:
    address = Address("a:1,b:2", "SASL_SSL", MECHANISMS[1], "ann", "canary-4711")
    assert "canary" not in repr(address) + str(address)
