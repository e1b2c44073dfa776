"""Curator's JSON, byte for byte, and what is made of what others write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from configkit.backends.zookeeper import curator
from configkit.models import ServiceInstance

AT = datetime(2026, 11, 23, 7, 15, 14, 984_000, tzinfo=UTC)
MILLIS = 1795418114984

WRITTEN_BY_CURATOR = (
    b'{"name":"java","id":"j-1","address":"127.0.0.1","port":9000,"sslPort":null,"payload":null,'
    b'"registrationTimeUTC":1795418114984,"serviceType":"DYNAMIC","uriSpec":{"parts":[{"value":"scheme","variable":true},'
    b'{"value":"://","variable":false},{"value":"address","variable":true},{"value":":","variable":false},'
    b'{"value":"port","variable":true}]}}'
)


def _instance(url: str = "http://127.0.0.1:9000", **fields: Any) -> ServiceInstance:
    return ServiceInstance("java", url, instance_id="j-1", registered_at=AT, **fields)


def _foreign(**fields: Any) -> bytes:
    node = {**json.loads(WRITTEN_BY_CURATOR), **fields}
    return json.dumps({name: value for name, value in node.items() if value is not ...}).encode()


def test_an_instance_is_written_as_curator_writes_it_byte_for_byte() -> None:
    assert curator.written(_instance()) == WRITTEN_BY_CURATOR


def test_what_curator_has_no_field_for_is_the_payload() -> None:
    instance = _instance(
        health_check_url="http://127.0.0.1:9000/health",
        weight=3,
        zone="eu-1",
        metadata={"größe": "✓"},
        status="healthy",
        last_health_check=AT,
    )
    written = curator.written(instance, ttl=5.0)
    assert (
        b'"payload":{"health_check_url":"http://127.0.0.1:9000/health","weight":3,"zone":"eu-1",'
        + '"metadata":{"größe":"✓"},"status":"healthy","last_health_check":1795418114984,"ttl_seconds":5},'.encode()
        in written
    )
    assert curator.read("java", "j-1", written) == instance
    assert curator.lease_of(written) == 5.0
    assert not curator.is_held(written)
    assert curator.is_held(curator.written(instance, held=True))


def test_a_typed_jvm_reader_finds_the_class_it_expects() -> None:
    spring = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"
    payload = json.loads(curator.written(_instance(metadata={"a": "b"}), payload_class=spring))["payload"]
    assert payload == {"@class": spring, "id": "j-1", "name": "java", "metadata": {"a": "b"}}
    assert next(iter(payload)) == "@class"
    assert json.loads(curator.written(_instance(), payload_class=spring))["payload"]["metadata"] == {}


@pytest.mark.parametrize(
    ("url", "address", "port", "ssl_port"),
    [
        ("http://10.0.0.5:8087", "10.0.0.5", 8087, None),
        ("https://10.0.0.5:8443", "10.0.0.5", 8443, 8443),
        ("http://10.0.0.5", "10.0.0.5", 80, None),
        ("https://host.example/base?x=1", "host.example", 443, 443),
        ("https://10.0.0.5:8443/base?x=1", "10.0.0.5", 8443, 8443),
        ("http://[2001:db8::1]:80/", "2001:db8::1", 80, None),
        ("http://[::1]", "::1", 80, None),
        ("HTTP://Host.Example:08080/", "host.example", 8080, None),
        ("http://host:80?only=query", "host", 80, None),
    ],
)
def test_every_url_survives(url: str, address: str, port: int, ssl_port: int | None) -> None:
    written = curator.written(_instance(url))
    node = json.loads(written)
    assert (node["address"], node["port"], node["sslPort"]) == (address, port, ssl_port)
    assert curator.read("java", "j-1", written).service_url == url
    plain = url == f"{'http' if ssl_port is None else 'https'}://{address}:{port}"
    assert node["payload"] == (None if plain else {"service_url": url})
    node["payload"] = None
    assert curator.read("java", "j-1", json.dumps(node).encode()).service_url == url, "the URI specification alone says it too"


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "http://127.0.0.1:9000"),
        ({"uriSpec": None}, "http://127.0.0.1:9000"),
        ({"uriSpec": ...}, "http://127.0.0.1:9000"),
        ({"uriSpec": {"parts": "no list"}}, "http://127.0.0.1:9000"),
        ({"uriSpec": {"parts": [{"value": "rmi://x", "variable": False}]}}, "http://127.0.0.1:9000"),
        (
            {"uriSpec": {"parts": [{"value": "http://other/", "variable": False}, {"value": "id", "variable": True}]}},
            "http://other/j-1",
        ),
        ({"sslPort": 9443, "uriSpec": None}, "https://127.0.0.1:9000"),
        ({"port": None, "sslPort": 9443, "uriSpec": None}, "https://127.0.0.1:9443"),
        ({"port": None, "uriSpec": None}, "http://127.0.0.1"),
        ({"address": "::1", "uriSpec": None}, "http://[::1]:9000"),
    ],
)
def test_the_url_of_a_foreign_node_is_what_its_fields_say(fields: dict[str, Any], url: str) -> None:
    assert curator.read("java", "j-1", _foreign(**fields)).service_url == url


@pytest.mark.parametrize("payload", [None, "text", 42, True, [], {}, {"unknown": {"deep": [1]}}, ...])
def test_any_foreign_payload_is_tolerated(payload: Any) -> None:
    assert curator.read("java", "j-1", _foreign(payload=payload)) == _instance()
    assert curator.lease_of(_foreign(payload=payload)) is None
    assert not curator.is_held(_foreign(payload=payload))


@pytest.mark.parametrize(
    "payload",
    [
        {"weight": "7"}, {"weight": -1}, {"weight": True}, {"weight": 1e9}, {"zone": "no zone!"}, {"zone": 3}, {"status": "great"},
        {"health_check_url": "file:///etc/passwd"}, {"health_check_url": 1}, {"service_url": "javascript:1"}, {"metadata": "text"},
        {"metadata": {"n": 1}}, {"ttl_seconds": "5"}, {"ttl_seconds": 0}, {"last_health_check": "2026-11-23"}, {"held": "yes"},
        {"last_health_check": 2**53 - 1},
    ],
)  # fmt: skip
def test_what_a_payload_says_wrongly_is_as_if_it_were_not_said(payload: dict[str, Any]) -> None:
    assert curator.read("java", "j-1", _foreign(payload=payload)) == _instance()
    assert curator.lease_of(_foreign(payload=payload)) is None
    assert not curator.is_held(_foreign(payload=payload))


def test_spring_cloud_s_metadata_is_metadata() -> None:
    payload = {"@class": "org.example.Any", "id": "x", "name": "y", "metadata": {"version": "1", "no text": 2}}
    assert dict(curator.read("java", "j-1", _foreign(payload=payload)).metadata) == {"version": "1"}


@pytest.mark.parametrize(
    "fields", [{"id": ...}, {"id": ""}, {"id": "another"}, {"name": "another"}, {"serviceType": "STATIC"}, {"x": 1}]
)
def test_the_path_of_a_node_is_its_name_and_other_fields_are_let_be(fields: dict[str, Any]) -> None:
    assert curator.read("java", "j-1", _foreign(**fields)) == _instance()


def test_a_disabled_instance_is_listed_and_not_available() -> None:
    disabled = curator.read("java", "j-1", _foreign(enabled=False))
    assert (disabled.status, disabled.available) == ("draining", False)
    assert curator.read("java", "j-1", _foreign(enabled=True)).available


def test_a_service_with_capitals_is_read() -> None:
    assert curator.read("Java-Service", "j-1", WRITTEN_BY_CURATOR).service_name == "Java-Service"


@pytest.mark.parametrize("moment", [..., None, "2026-11-23T07:15:14Z", 1.5, 2**53 - 1, True])
def test_a_time_that_cannot_be_read_is_no_time(moment: Any) -> None:
    assert curator.read("java", "j-1", _foreign(registrationTimeUTC=moment)).registered_at is None


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b'"text"', b"null", b"\xff\xfe", b"[" * 100_000, b"{}",
        _foreign(address=None, uriSpec=None), _foreign(address="no host", uriSpec=None), _foreign(address=7, uriSpec=None),
    ],
)  # fmt: skip
def test_what_describes_no_instance_is_said_to(content: bytes) -> None:
    with pytest.raises(ValueError):
        curator.read("java", "j-1", content)
    assert curator.lease_of(content) is None
    assert not curator.is_held(content)
