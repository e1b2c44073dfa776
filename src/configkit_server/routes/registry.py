"""The service registry."""

from __future__ import annotations

from configkit.errors import ConfigKitError, NotFoundError
from configkit.models import HealthCheck, Instances, ServiceInstance
from configkit.names import check_service_name
from configkit.ports import Outcome
from configkit.registry.discovery import available
from configkit_server.answers import Answer, answer_json, page
from configkit_server.call import Call
from configkit_server.problems import REGISTRY_DISABLED, unavailable
from configkit_server.service import Service
from configkit_server.wire.registry import (
    InstanceRef,
    Register,
    check_document,
    instance_document,
    summary_document,
)

NAME_SEGMENT = 5
_CHECK_SECONDS = 8.0


async def register(service: Service, call: Call) -> Answer:
    """List an instance."""
    service.require_registry()
    body = await call.model(Register)
    call.service(body.service_name)
    service.registrations.take(f"{call.grant.name} {call.peer}")
    instance = ServiceInstance(
        service_name=body.service_name,
        service_url=body.service_url,
        health_check_url=body.health_check_url,
        instance_id=body.instance_id or "",
        weight=body.weight,
        zone=body.zone,
        metadata=body.metadata,
    )
    if body.health_check_url is not None and service.checker is not None:
        await service.executor.run(service.checker.resolver.admit, body.health_check_url)
    listed, is_new = await service.write(
        call, service.kit.backends.registry.register, instance, ttl_seconds=body.ttl_seconds, origin=call.origin
    )
    await _read_again(service, body.service_name)
    subject = f"{listed.service_name}/{listed.instance_id}"
    return answer_json(201 if is_new else 200, instance_document(listed), subject=subject)


async def deregister(service: Service, call: Call) -> Answer:
    """Remove an instance."""
    service.require_registry()
    body = await call.model(InstanceRef)
    call.service(body.service_name)
    registry = service.kit.backends.registry
    await service.write(call, registry.deregister, body.service_name, body.instance_id, origin=call.origin)
    await _read_again(service, body.service_name)
    return answer_json(200, {"status": "ok"}, subject=f"{body.service_name}/{body.instance_id}")


async def heartbeat(service: Service, call: Call) -> Answer:
    """Renew a lease."""
    service.require_registry()
    body = await call.model(InstanceRef)
    call.service(body.service_name)
    expires = await service.write(call, service.kit.backends.registry.heartbeat, body.service_name, body.instance_id)
    return answer_json(200, {"expires_at": expires}, subject=f"{body.service_name}/{body.instance_id}")


async def list_services(service: Service, call: Call) -> Answer:
    """Answer a page of the services that have instances."""
    service.require_registry()
    limit, offset = call.query["limit"], call.query["offset"]
    summaries = await service.executor.run(service.kit.services.summaries)
    seen = [summary_document(summary) for summary in summaries if call.grant.reaches_service(summary.service_name)]
    return answer_json(200, page(seen[offset : offset + limit], total=len(seen), limit=limit, offset=offset))


async def read_service(service: Service, call: Call) -> Answer:
    """Answer every listed instance of a service."""
    return _answer_instances(await _instances(service, call, _name(service, call)))


async def discover(service: Service, call: Call) -> Answer:
    """Answer the instances that can be called."""
    listed = await _instances(service, call, _name(service, call))
    return _answer_instances(available(listed, call.query["zone"]))


async def service_url(service: Service, call: Call) -> Answer:
    """Answer one instance to call."""
    name = _name(service, call)
    await _instances(service, call, name)
    pick, query = service.kit.services.pick, call.query
    instance = await service.executor.run(pick, name, strategy=query["strategy"], zone=query["zone"])
    return answer_json(200, {"url": instance.service_url, "instance_id": instance.instance_id})


async def check_service(service: Service, call: Call) -> Answer:
    """Check every instance of a service now."""
    name = _name(service, call)
    if service.checker is None:
        raise unavailable("this server checks no instances", REGISTRY_DISABLED)
    service.checks.take(f"{call.grant.name} {call.peer}")
    checks = await service.checking.run_within(_CHECK_SECONDS, service.checker.check_now, name)
    await _read_again(service, name)
    shown = [check_document(check) for check in checks]
    return answer_json(200, {"service_name": name, "status": _overall(checks), "checks": shown})


def _overall(checks: list[HealthCheck]) -> str:
    if not checks:
        return "unknown"
    return "healthy" if any(check.healthy for check in checks) else "unhealthy"


def _name(service: Service, call: Call) -> str:
    service.require_registry()

    def check(text: str, *, pointer: str) -> str:
        return check_service_name(text, foreign=True, pointer=pointer)

    return call.service(call.segment(NAME_SEGMENT, "/name", check))


async def _instances(service: Service, call: Call, name: str) -> Instances:
    known = None if call.wants_fresh else service.kit.services.peek(name)
    if known is not None:
        return known
    return await service.executor.run(service.kit.services.instances, name, fresh=call.wants_fresh)


def _answer_instances(listed: Instances) -> Answer:
    return answer_json(200, {"items": [instance_document(instance) for instance in listed.items], "stale": listed.stale})


async def _read_again(service: Service, name: str) -> None:
    """Let whoever asks this server next see what was just changed, not only when its event has come."""
    if service.kit.services.peek(name) is None:
        return
    try:
        await service.executor.run(service.kit.services.instances, name, fresh=True)
    except ConfigKitError:
        return


async def replay_register(service: Service, call: Call, outcome: Outcome) -> Answer:
    """Answer a repeated registration with the instance as it is now."""
    body = await call.model(Register)
    call.service(body.service_name)
    instance_id = outcome.subject.partition("/")[2]
    return answer_json(outcome.status, instance_document(await _listed(service, body.service_name, instance_id)))


async def replay_deregister(service: Service, call: Call, outcome: Outcome) -> Answer:  # noqa: ARG001  every replay is called alike
    """Answer a repeated deregistration."""
    return answer_json(outcome.status, {"status": "ok"})


async def replay_heartbeat(service: Service, call: Call, outcome: Outcome) -> Answer:
    """Answer a repeated heartbeat with the lease as it is now."""
    body = await call.model(InstanceRef)
    instance = await _listed(service, call.service(body.service_name), body.instance_id)
    if instance.expires_at is None:
        raise NotFoundError(f"{body.instance_id} has no lease")
    return answer_json(outcome.status, {"expires_at": instance.expires_at})


async def _listed(service: Service, name: str, instance_id: str) -> ServiceInstance:
    for instance in await service.executor.run(service.kit.backends.registry.instances, name):
        if instance.instance_id == instance_id:
            return instance
    raise NotFoundError(f"{instance_id} is not listed")
