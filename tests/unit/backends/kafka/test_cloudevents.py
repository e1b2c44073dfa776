"""The records of Kafka, read and written by the `cloudevents` package beside our own functions."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from configkit.backends.kafka.cloudevents import BrokenEventError, Record, decode, encode
from configkit.models import AccessChanged, ConfigChanged, ConfigPath, Event, FlagChanged, RegistryChanged, Resync

AT = datetime(2026, 11, 26, 1, 2, 3, 456789, UTC)
PATH = ConfigPath("development", "asr-service", "model_path")

EVENTS: list[Event] = [
    ConfigChanged("log-1", PATH, 3, deleted=False, at=AT, changed_by="ann"),
    ConfigChanged("log-2", PATH, None, deleted=False, at=AT),
    ConfigChanged("log-3", ConfigPath("production", "_shared", "K"), 2**40, deleted=True, at=AT, changed_by="Änn \u2028"),
    FlagChanged("log-4", "staging", "new_ui", 9, deleted=True, at=AT, changed_by="ann"),
    RegistryChanged("log-5", "NMT-Service", AT),
    AccessChanged("log-6", AT, "root"),
]


def message(record: Record) -> KafkaMessage:
    return KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)


def headers(message: KafkaMessage) -> list[tuple[str, bytes | None]]:
    return list(message.headers.items())


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.id)
def test_an_event_comes_back_from_structured_mode(event: Event) -> None:
    record = encode(event)
    assert decode(record.headers, record.value) == event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.id)
def test_the_reference_library_reads_what_is_written(event: Event) -> None:
    read = from_kafka(message(encode(event)), JSONFormat())
    assert read.get_specversion() == "1.0"
    assert read.get_id() == event.id  # type: ignore[union-attr]
    assert read.get_source() == "/configkit"
    assert read.get_type().startswith("io.configkit.")
    assert read.get_time() == AT
    assert read.get_datacontenttype() == "application/json"


def test_an_event_says_what_changed_and_where() -> None:
    record = encode(EVENTS[0])
    read = from_kafka(message(record), JSONFormat())
    assert (read.get_type(), read.get_subject()) == ("io.configkit.config.changed", "development/asr-service/model_path")
    assert read.get_data() == {
        "kind": "config",
        "environment": "development",
        "service_name": "asr-service",
        "key": "model_path",
        "version": 3,
        "deleted": False,
        "changed_by": "ann",
    }
    assert record.key == b"development/asr-service/model_path"
    assert record.headers == (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


@pytest.mark.parametrize("write", [to_binary, to_structured])
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.id)
def test_both_modes_of_the_reference_library_are_read(event: Event, write: Any) -> None:
    envelope = json.loads(encode(event).value)
    data = envelope.pop("data")
    foreign = CloudEvent(attributes={**envelope, "time": AT}, data=data)
    written = write(foreign, JSONFormat())
    assert decode(headers(written), written.value) == event


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+json", "Application/CloudEvents", "APPLICATION/CLOUDEVENTS+JSON;x=y"]
)
def test_structured_mode_is_told_by_the_beginning_of_the_content_type_in_any_case(content_type: str) -> None:
    record = encode(EVENTS[0])
    assert decode([("Content-Type", content_type.encode())], record.value) == EVENTS[0]


def test_an_event_without_a_time_is_from_now() -> None:
    envelope = json.loads(encode(EVENTS[0]).value)
    del envelope["time"]
    event = decode(encode(EVENTS[0]).headers, json.dumps(envelope).encode())
    assert isinstance(event, ConfigChanged)
    assert abs(datetime.now(UTC) - event.at) < timedelta(seconds=60)


def test_a_time_of_any_zone_is_read_as_utc() -> None:
    event = EVENTS[0]
    assert isinstance(event, ConfigChanged)
    record = encode(replace(event, at=AT.astimezone(timezone(timedelta(hours=5)))))
    assert b'"time":"2026-11-26T01:02:03.456789Z"' in record.value
    assert decode(record.headers, record.value) == EVENTS[0]


@pytest.mark.parametrize(
    ("given_headers", "value"),
    [
        ([], b"hello"),
        ([], None),
        ([], encode(EVENTS[0]).value),
        ([("content-type", b"application/json")], b"{}"),
        ([("content-type", None)], b"{}"),
        (encode(EVENTS[0]).headers, b'{"specversion":"1.0","type":"com.example.order.placed","id":"1","source":"/shop"}'),
        ([("ce_specversion", b"1.0"), ("ce_type", b"com.example.order.placed")], b"\x00\xff"),
    ],
)
def test_what_is_no_event_of_configkit_is_none(given_headers: Any, value: bytes | None) -> None:
    assert decode(given_headers, value) is None


def changed(**changes: object) -> bytes:
    envelope = json.loads(encode(EVENTS[0]).value)
    for name, value in changes.items():
        target = envelope if name in envelope else envelope["data"]
        target[name] = value
    return json.dumps(envelope).encode()


BROKEN = [
    b"",
    b"{",
    b"[1]",
    b"null",
    b"\xff",
    b"[" * 100_000,
    changed(specversion="0.3"),
    changed(id=""),
    changed(id=5),
    changed(time="yesterday"),
    changed(time="2026-11-26T01:02:03"),
    changed(time=5),
    changed(data=None),
    changed(data=[1]),
    changed(data="text"),
    changed(environment="../x"),
    changed(service_name="UPPER"),
    changed(key="a/b"),
    changed(key=None),
    changed(version="3"),
    changed(version=True),
    changed(version=0),
    changed(version=2**60),
    changed(deleted="no"),
    changed(changed_by=5),
    changed(changed_by="x" * 1000),
]


@pytest.mark.parametrize("value", [*BROKEN, None])
def test_a_malformed_event_is_said_to_be_broken_and_its_content_is_not_shown(value: bytes | None) -> None:
    with pytest.raises(BrokenEventError) as raised:
        decode(encode(EVENTS[0]).headers, value)
    assert len(str(raised.value)) < 40


@given(value=st.binary(max_size=200), content=st.sampled_from([b"application/cloudevents+json", b"text/plain"]), ce=st.booleans())
def test_whatever_a_record_holds_it_is_an_event_or_none_or_broken(value: bytes, content: bytes, ce: bool) -> None:
    named: list[tuple[str, bytes | None]] = [("content-type", content)]
    if ce:
        named += [("ce_specversion", b"1.0"), ("ce_type", b"io.configkit.config.changed"), ("ce_id", value)]
    with suppress(BrokenEventError):
        decode(named, value)


def test_a_resynchronisation_is_not_announced() -> None:
    with pytest.raises(TypeError):
        encode(Resync("gap"))
