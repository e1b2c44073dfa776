"""The service registry on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from configkit import names
from configkit.models import HealthCheck, ServiceInstance, ServiceSummary
from configkit_server.wire.text import WHOLE, Body, CalledUrl, Document, InstanceId, RegisteredService, Url, Zone, checked, few

MOST_METADATA = 64


def _metadata_name(value: str) -> str:
    return names.check_text(value, limit=128, pointer="", empty=False)


def _metadata_value(value: str) -> str:
    return names.check_text(value, limit=1024, pointer="")


_TEXT = {"type": "string", "pattern": "^[^\\u0000]*$"}
MetadataName = Annotated[str, checked(_metadata_name)]
MetadataValue = Annotated[str, checked(_metadata_value)]
Metadata = Annotated[
    dict[MetadataName, MetadataValue],
    Field(max_length=MOST_METADATA),
    BeforeValidator(lambda given: few(given, MOST_METADATA)),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MOST_METADATA,
            "propertyNames": {**_TEXT, "minLength": 1, "maxLength": 128},
            "additionalProperties": {**_TEXT, "maxLength": 1024},
        }
    ),
]


class Register(Body):
    """One running copy of a service."""

    service_name: RegisteredService
    service_url: Url
    health_check_url: CalledUrl | None = None
    instance_id: InstanceId | None = None
    weight: Annotated[int, Field(ge=0, le=65535), WHOLE] = 1
    zone: Zone | None = None
    metadata: Metadata = Field(default_factory=dict)
    ttl_seconds: float | None = Field(
        None, ge=5, le=3600, description="The length of the lease that heartbeats renew. Without it a health check decides."
    )


class InstanceRef(Body):
    """Which instance."""

    service_name: RegisteredService
    instance_id: InstanceId


class Instance(Document):
    """An instance as it is listed."""

    instance_id: str
    service_name: str
    service_url: str
    health_check_url: str | None
    status: Literal["healthy", "unhealthy", "unknown", "starting", "draining"]
    weight: int
    zone: str | None
    metadata: dict[str, str]
    registered_at: datetime | None
    last_health_check: datetime | None
    expires_at: datetime | None


class InstanceList(Document):
    """Instances of one service; `stale` where the registry could not be reached and this is the last list."""

    items: list[Instance]
    stale: bool


class Summary(Document):
    """A service and how many instances it has."""

    service_name: str
    instances: int
    healthy: int


class SummaryPage(Document):
    """A page of services."""

    items: list[Summary]
    total: int
    limit: int
    offset: int


class Deregistered(Document):
    """The instance is gone."""

    status: Literal["ok"]


class Heartbeat(Document):
    """The lease was renewed until then."""

    expires_at: datetime


class ServiceUrl(Document):
    """Where to call."""

    url: str
    instance_id: str


class Check(Document):
    """What one health check found."""

    instance_id: str
    healthy: bool
    status_code: int | None = None
    response_time_ms: float
    error: str | None = None


class ServiceHealth(Document):
    """What checking every instance now found: healthy if one is, unknown without instances."""

    service_name: str
    status: Literal["healthy", "unhealthy", "unknown"]
    checks: list[Check]


def instance_document(instance: ServiceInstance) -> dict[str, Any]:
    """Return what goes over the wire for *instance*."""
    return {
        "instance_id": instance.instance_id,
        "service_name": instance.service_name,
        "service_url": instance.service_url,
        "health_check_url": instance.health_check_url,
        "status": instance.status,
        "weight": instance.weight,
        "zone": instance.zone,
        "metadata": dict(instance.metadata),
        "registered_at": instance.registered_at,
        "last_health_check": instance.last_health_check,
        "expires_at": instance.expires_at,
    }


def summary_document(summary: ServiceSummary) -> dict[str, Any]:
    """Return what goes over the wire for *summary*."""
    return {"service_name": summary.service_name, "instances": summary.instances, "healthy": summary.healthy}


def check_document(check: HealthCheck) -> dict[str, Any]:
    """Return what goes over the wire for *check*."""
    shown: dict[str, Any] = {
        "instance_id": check.instance_id,
        "healthy": check.healthy,
        "response_time_ms": round(check.response_time_ms, 3),
    }
    if check.status_code is not None:
        shown["status_code"] = check.status_code
    if check.error is not None:
        shown["error"] = check.error
    return shown
