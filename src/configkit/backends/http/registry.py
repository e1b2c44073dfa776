"""The service registry through the REST API."""

# ruff: noqa: ARG002  the author of a change is the token; `origin` belongs to the port
from __future__ import annotations

from datetime import datetime

from configkit.backends.http import wire
from configkit.backends.http.pages import LIMIT, page
from configkit.backends.http.transport import FRESH, Call, Transport
from configkit.models import Origin, ServiceInstance, ServiceSummary
from configkit.names import check_instance_id, check_service_name

ROOT = "/api/v1/registry"


class HttpRegistry:
    """
    A `ServiceRegistryClient` behind a configkit server, which writes down its token's name: *origin* is not sent.

    A list that the server itself can only give from memory, because its registry is out of reach, is given on.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def register(
        self, instance: ServiceInstance, *, ttl_seconds: float | None = None, origin: Origin
    ) -> tuple[ServiceInstance, bool]:
        """List *instance*; return it as listed, and whether it is new."""
        body = wire.instance_fields(instance, ttl_seconds)
        answer = self._transport.call(Call("register", "POST", f"{ROOT}/register", body=body)).expect(200, 201)
        with wire.documented("register"):
            return wire.instance(answer.document()), answer.status == 201

    def deregister(self, service_name: str, instance_id: str, *, origin: Origin) -> None:
        """Remove the instance. Raises `NotFoundError` if it is not listed."""
        body = _who(service_name, instance_id)
        self._transport.call(Call("deregister", "POST", f"{ROOT}/deregister", body=body)).expect(200)

    def heartbeat(self, service_name: str, instance_id: str) -> datetime:
        """Renew the lease and return its new end. Raises `NotFoundError`."""
        body = _who(service_name, instance_id)
        answer = self._transport.call(Call("heartbeat", "POST", f"{ROOT}/heartbeat", body=body)).expect(200)
        with wire.documented("heartbeat"):
            return wire.moment(answer.document()["expires_at"])

    def instances(self, service_name: str) -> list[ServiceInstance]:
        """Return every listed instance by id; empty for an unknown service."""
        path = f"{ROOT}/services/{check_service_name(service_name, foreign=True)}"
        answer = self._transport.call(Call("instances", "GET", path, headers=FRESH, reads=True)).expect(200)
        with wire.documented("instances"):
            return [wire.instance(item) for item in answer.document()["items"]]

    def services(self) -> list[ServiceSummary]:
        """Return the services that have instances, by name."""
        call = Call("services", "GET", f"{ROOT}/services", headers=FRESH, reads=True)
        found: list[ServiceSummary] = []
        while True:
            part = page(self._transport, call, wire.summary, limit=LIMIT, offset=len(found))
            found += part.items
            if not part.items or len(found) >= part.total:
                return found


def _who(service_name: str, instance_id: str) -> dict[str, str]:
    return {
        "service_name": check_service_name(service_name, foreign=True),
        "instance_id": check_instance_id(instance_id),
    }
