"""
Instances as Apache Curator's x-discovery writes them: compact JSON, byte for byte in Jackson's order of fields.

A service's URL becomes address, port, sslPort and a URI specification from which a JVM client builds the whole URL.
What Curator has no field for goes into the payload; a URL that is more than scheme, address and port is there in full too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from configkit import names
from configkit.errors import InvalidDocumentError
from configkit.models import DRAINING, STATUSES, UNKNOWN, ServiceInstance, check_url
from configkit.registry.lease import LONGEST, SHORTEST

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_URL = re.compile(r"(https?)://(\[[^\]]+\]|[^/?#:]+)(?::(\d+))?([/?].*)?")
_VARIABLE, _CONSTANT = True, False


def to_millis(moment: datetime) -> int:
    """Return *moment* as Curator counts time: milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def from_millis(millis: int) -> datetime:
    """Return the aware UTC time of *millis*."""
    return _EPOCH + timedelta(milliseconds=millis)


def written(instance: ServiceInstance, *, ttl: float | None = None, held: bool = False, payload_class: str | None = None) -> bytes:
    """
    Return the content of the node of *instance*.

    Args:
        ttl: The length of its lease, which its own process keeps; None: there is none.
        held: A server holds the node for an instance without a session of its own.
        payload_class: The Java class that JVM readers expect the payload to be, named as ``@class``, with the fields
            of Spring Cloud's ``ZookeeperInstance``.
    """
    address, port, ssl_port, parts = _located(instance.service_url)
    plain = f"{'http' if ssl_port is None else 'https'}://{address}:{port}"
    node = {
        "name": instance.service_name,
        "id": instance.instance_id,
        "address": address,
        "port": port,
        "sslPort": ssl_port,
        "payload": _payload(instance, ttl=ttl, held=held, payload_class=payload_class, plain=instance.service_url == plain),
        "registrationTimeUTC": to_millis(instance.registered_at or _EPOCH),
        "serviceType": "DYNAMIC",
        "uriSpec": {"parts": [{"value": value, "variable": variable} for value, variable in parts]},
    }
    return json.dumps(node, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def read(service_name: str, instance_id: str, content: bytes) -> ServiceInstance:
    """
    Return the instance that a node describes, whoever wrote it.

    The node's path is its name, whatever the content says. A disabled instance is listed as draining.

    Raises:
        ValueError: It describes none.
    """
    node = _node(content)
    payload = node["payload"] if isinstance(node.get("payload"), dict) else {}
    status = _allowed(payload.get("status"), lambda given: given in STATUSES, UNKNOWN)
    try:
        return ServiceInstance(
            service_name,
            _kept(check_url, payload.get("service_url")) or _url(node),
            _kept(check_url, payload.get("health_check_url")),
            instance_id,
            status=DRAINING if node.get("enabled") is False else status,
            weight=_allowed(payload.get("weight"), lambda given: _is_whole(given) and 0 <= given <= 65535, 1),
            zone=_kept(names.check_zone, payload.get("zone")),
            metadata=_metadata(payload.get("metadata")),
            registered_at=_moment(node.get("registrationTimeUTC")),
            last_health_check=_moment(payload.get("last_health_check")),
        )
    except InvalidDocumentError as error:
        raise ValueError(str(error)) from None


def lease_of(content: bytes) -> float | None:
    """Return the length of the lease that the node's own process keeps; None: it has none, or is not configkit's."""
    given = _payload_of(content).get("ttl_seconds")
    if isinstance(given, int | float) and not isinstance(given, bool) and SHORTEST <= given <= LONGEST:
        return float(given)
    return None


def is_held(content: bytes) -> bool:
    """Return whether a server holds the node for an instance that has no session of its own."""
    return _payload_of(content).get("held") is True


def _node(content: bytes) -> dict[str, Any]:
    try:
        node = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(node, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  the content is wrong, not the call
    return node


def _payload_of(content: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        payload = _node(content).get("payload")
        if isinstance(payload, dict):
            return payload
    return {}


def _located(url: str) -> tuple[str, int | None, int | None, list[tuple[str, bool]]]:
    """Return address, port, sslPort and the parts of the URI specification from which *url* is built again."""
    match = _URL.fullmatch(url)
    if match is None:
        split = urlsplit(url)
        return split.hostname or "", split.port, split.port if split.scheme == "https" else None, [(url, _CONSTANT)]
    scheme, host, digits, rest = match.groups()
    port = int(digits) if digits else None
    ssl_port = (port or 443) if scheme == "https" else None
    parts: list[tuple[str, bool]] = [("scheme", _VARIABLE), ("://", _CONSTANT)]
    if host.startswith("["):
        parts += [("[", _CONSTANT), ("address", _VARIABLE), ("]", _CONSTANT)]
    else:
        parts.append(("address", _VARIABLE))
    if digits:
        parts += [(":", _CONSTANT), ("port", _VARIABLE)] if str(port) == digits else [(f":{digits}", _CONSTANT)]
    if rest:
        parts.append((rest, _CONSTANT))
    return host.strip("[]"), port or (443 if scheme == "https" else 80), ssl_port, parts


def _payload(
    instance: ServiceInstance, *, ttl: float | None, held: bool, payload_class: str | None, plain: bool
) -> dict[str, Any] | None:
    """Return what Curator has no field for; None where there is nothing of it."""
    payload: dict[str, Any] = {}
    if payload_class is not None:
        payload = {"@class": payload_class, "id": instance.instance_id, "name": instance.service_name, "metadata": {}}
    said = {
        "service_url": None if plain else instance.service_url,
        "health_check_url": instance.health_check_url,
        "weight": None if instance.weight == 1 else instance.weight,
        "zone": instance.zone,
        "metadata": dict(instance.metadata) or None,
        "status": None if instance.status == UNKNOWN else instance.status,
        "last_health_check": None if instance.last_health_check is None else to_millis(instance.last_health_check),
        "ttl_seconds": int(ttl) if ttl is not None and ttl == int(ttl) else ttl,
        "held": held or None,
    }
    payload |= {name: value for name, value in said.items() if value is not None}
    return payload or None


def _url(node: Mapping[str, Any]) -> str:
    port, ssl_port = (_allowed(node.get(name), lambda given: _is_whole(given) and 0 < given < 65536, None) for name in _PORTS)
    address = node.get("address")
    values = {
        "scheme": "http" if ssl_port is None else "https",
        "address": address if isinstance(address, str) else "",
        "port": str(port or ssl_port or ""),
        "ssl-port": str(ssl_port or ""),
        "name": str(node.get("name") or ""),
        "id": str(node.get("id") or ""),
        "service-type": str(node.get("serviceType") or ""),
        "registration-time-utc": str(node.get("registrationTimeUTC") or ""),
        "[": "{",
        "]": "}",
    }
    specified = _built(node.get("uriSpec"), values)
    if specified is not None and (url := _kept(check_url, specified)) is not None:
        return url
    host = f"[{address}]" if ":" in values["address"] else values["address"]
    located = f"{values['scheme']}://{host}" + (f":{values['port']}" if values["port"] else "")
    return check_url(located, pointer="/address")


_PORTS = ("port", "sslPort")


def _built(specification: object, values: Mapping[str, str]) -> str | None:
    """Return the URL that a URI specification makes of *values*; None where there is none, or it cannot be read."""
    parts = specification.get("parts") if isinstance(specification, dict) else None
    if not isinstance(parts, list) or not all(isinstance(part, dict) and isinstance(part.get("value"), str) for part in parts):
        return None
    return "".join(values.get(part["value"], "") if part.get("variable") is True else part["value"] for part in parts)


def _metadata(given: object) -> Mapping[str, str]:
    """Return what of *given* is text under a name, as far as it is allowed."""
    if not isinstance(given, dict):
        return MappingProxyType({})
    kept = {}
    for name, value in given.items():
        with suppress(InvalidDocumentError):
            names.check_text(name, limit=128, pointer="/metadata", empty=False)
            kept[name] = names.check_text(value, limit=1024, pointer="/metadata")
    return MappingProxyType(dict(list(kept.items())[:64]))


def _moment(given: object) -> datetime | None:
    if not _is_whole(given):
        return None
    with suppress(OverflowError):
        return from_millis(given)  # type: ignore[arg-type]
    return None


def _is_whole(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and math.fabs(given) < 2**53


def _allowed(given: Any, is_allowed: Callable[[Any], bool], otherwise: T) -> Any | T:
    return given if given is not None and isinstance(given, str | int) and is_allowed(given) else otherwise


def _kept(check: Callable[..., str], given: object) -> str | None:
    """Return *given* if *check* lets it pass: what a foreign payload says wrongly is as if it were not said."""
    try:
        return None if given is None else check(given, pointer="/payload")
    except InvalidDocumentError:
        return None
