"""Names that nobody else in the deployment uses, and other small things that every case begins with."""

from __future__ import annotations

import itertools
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from configkit.flags.model import Flag
from configkit.models import ConfigPath, ConfigSelector, Origin, ServiceInstance

ORIGIN = Origin("ann", "conformance")

HEALTH_URL = "http://10.255.255.1:9/health"

_numbers = itertools.count(1)


def name(prefix: str) -> str:
    """Return a name nobody else uses; later ones sort behind earlier ones of the same prefix."""
    return f"{prefix}-{next(_numbers):06d}-{uuid.uuid4().hex[:8]}"


def path(key: str = "model_path", *, environment: str = "development", service: str = "") -> ConfigPath:
    return ConfigPath(environment, service or name("svc"), key)


def only(service: str) -> ConfigSelector:
    return ConfigSelector(services=frozenset((service,)))


def flag(environment: str = "staging", **fields: Any) -> Flag:
    return Flag(fields.pop("name", None) or name("flag"), environment, **fields)


def instance(service: str = "", **fields: Any) -> ServiceInstance:
    return ServiceInstance(service or name("svc"), fields.pop("service_url", "http://10.0.0.5:8087"), **fields)


def text(value: object) -> str:
    """Return JSON text that tells apart what == does not, such as 1, 1.0 and true."""
    return json.dumps(value, sort_keys=True)


def is_recent(at: datetime | None, *, within: float = 60.0) -> bool:
    """Whether *at* is an aware UTC time not far from now."""
    return at is not None and at.utcoffset() == timedelta(0) and abs((datetime.now(UTC) - at).total_seconds()) < within
