"""``configkit service``: who is there, and being there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from configkit.cli.commands import command, group
from configkit.cli.opening import AT_HOME, Session
from configkit.cli.output import timestamp
from configkit.cli.running import run_registered
from configkit.client import ConfigKit
from configkit.errors import InvalidDocumentError, NoInstanceError
from configkit.models import HealthCheck, ServiceInstance
from configkit.names import check_service_name, check_zone
from configkit.registry.addresses import AddressPolicy, networks
from configkit.registry.balancing import STRATEGIES
from configkit.registry.lease import lease_seconds

app = group("service", "Services: who is there, and being there.")

NOT_ENABLED = "SERVICE_REGISTRY_ENABLED is false: nothing is registered"
WITHOUT = ("environment", "service")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The service.")]


def wire(instance: ServiceInstance) -> dict[str, Any]:
    """Return *instance* as the REST API shows it."""
    return {
        "instance_id": instance.instance_id,
        "service_name": instance.service_name,
        "service_url": instance.service_url,
        "health_check_url": instance.health_check_url,
        "status": instance.status,
        "weight": instance.weight,
        "zone": instance.zone,
        "metadata": dict(instance.metadata),
        "registered_at": timestamp(instance.registered_at),
        "last_health_check": timestamp(instance.last_health_check),
        "expires_at": timestamp(instance.expires_at),
    }


@command(app, "list", without=WITHOUT)
def list_(session: Session) -> None:
    """List the services that have instances."""
    with session.kit() as kit:
        found = kit.services.summaries()
    if session.out.machine:
        items = [{"service_name": s.service_name, "instances": s.instances, "healthy": s.healthy} for s in found]
        session.out.data({"items": items, "total": len(items)})
        return
    rows = [(s.service_name, s.instances, s.healthy) for s in found]
    session.out.table(("service", "instances", "healthy"), rows, empty="no services")


@command(app, "discover", without=WITHOUT)
def discover(
    session: Session,
    name: Name,
    zone: Annotated[str | None, typer.Option("--zone", help="Those of this zone, if it has any.")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Those that are not healthy too.")] = False,  # noqa: FBT002
    urls: Annotated[bool, typer.Option("--urls", help="Only their addresses, one a line.")] = False,  # noqa: FBT002
) -> None:
    """List the healthy instances of the service NAME; the exit code is 3 if there are none."""
    check_service_name(name, foreign=True)
    if zone is not None:
        check_zone(zone)
    with session.kit() as kit:
        found = kit.services.instances(name) if everyone else kit.services.healthy(name, zone=zone)
    if session.out.machine:
        session.out.data({"items": [wire(instance) for instance in found.items], "stale": found.stale})
    elif urls:
        for instance in found.items:
            session.out.line(instance.service_url)
    else:
        rows = [(i.service_url, i.status, i.instance_id, i.zone, i.weight, i.last_health_check) for i in found.items]
        columns = ("url", "status", "instance", "zone", "weight", "checked")
        session.out.table(columns, rows)
    if found.stale:
        session.out.note("the registry cannot be reached: this is what it said last")
    if not found.items:
        raise NoInstanceError(f"no {'' if everyone else 'healthy '}instance of {name}")


@command(app, "url", without=WITHOUT)
def url_(
    session: Session,
    name: Name,
    strategy: Annotated[str, typer.Option("--strategy", metavar="NAME", help=f"{', '.join(STRATEGIES)}.")] = "round_robin",
    zone: Annotated[str | None, typer.Option("--zone", help="Rather one of this zone.")] = None,
) -> None:
    """Print the address of one healthy instance of the service NAME; the exit code is 3 if there is none."""
    check_service_name(name, foreign=True)
    if zone is not None:
        check_zone(zone)
    with session.kit() as kit:
        chosen = kit.services.pick(name, strategy=strategy, zone=zone)
    session.out.done(chosen.service_url, {"url": chosen.service_url, "instance_id": chosen.instance_id})


@command(app, "check", without=("url", "token", *WITHOUT))
def check(session: Session, name: Name) -> None:
    """
    Check the instances of the service NAME now, from this machine; the exit code is 3 if none is well.

    It is done where the database is, as its server would. What was found is what discovery says afterwards.
    """
    check_service_name(name, foreign=True)
    with session.kit() as kit:
        found = _checked(session, kit, name)
    if session.out.machine:
        session.out.data({"service_name": name, "checks": [asdict(check) for check in found]})
    else:
        rows = [(c.instance_id, "healthy" if c.healthy else "unhealthy", f"{c.response_time_ms:.0f} ms", c.error) for c in found]
        session.out.table(("instance", "status", "took", "error"), rows)
    if not any(check.healthy for check in found):
        raise NoInstanceError(f"no healthy instance of {name}")


@command(app, "register", without=WITHOUT)
def register(
    session: Session,
    name: Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where it is called.")],
    program: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="Registered while it runs.", show_default=False)
    ] = None,
    health_url: Annotated[
        str | None, typer.Option("--health-url", metavar="URL", help="Where a GET answers 2xx while it is well.")
    ] = None,
    ttl: Annotated[float | None, typer.Option("--ttl", metavar="SECONDS", help="The length of its lease: 5 to 3600.")] = None,
    instance_id: Annotated[
        str | None, typer.Option("--instance-id", metavar="ID", help="Otherwise a hash of name and URL.")
    ] = None,
    zone: Annotated[str | None, typer.Option("--zone", help="Where it stands.")] = None,
    weight: Annotated[int, typer.Option("--weight", min=0, max=65535, help="Its share of balanced calls.")] = 1,
    wait: Annotated[bool, typer.Option("--wait", help="With a COMMAND: only once its health URL answers 2xx.")] = False,  # noqa: FBT002
) -> None:
    """
    Register an instance of the service NAME at URL.

    With a COMMAND it is registered while that runs: signals are passed on to it, and its exit code is the answer.
    Without, it is registered once: for the length of its lease, or as long as a server finds it healthy.
    """
    instance = ServiceInstance(check_service_name(name), url, health_url, instance_id or "", weight=weight, zone=zone)
    lease = lease_seconds(ttl, health_url is not None)
    with session.kit() as kit:
        if not kit.registry_enabled:
            session.out.note(NOT_ENABLED)
        if program:
            raise typer.Exit(run_registered(program, _registered(kit, instance, ttl, wait=wait)))
        if kit.registry_enabled:
            _register_once(session, kit, instance, ttl, lease)


@command(app, "deregister", without=WITHOUT)
def deregister(
    session: Session, name: Name, instance_id: Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's id.")]
) -> None:
    """Take an instance of the service NAME off the list."""
    check_service_name(name)
    with session.kit() as kit:
        kit.calls.run(kit.backends.registry.deregister, name, instance_id, origin=kit.origin)
    session.out.done(f"{name}/{instance_id}: deregistered", {"status": "ok", "service_name": name, "instance_id": instance_id})


def _checked(session: Session, kit: ConfigKit, name: str) -> list[HealthCheck]:
    from configkit.registry.checker import Checker  # noqa: PLC0415  no other command of the group needs it

    if kit.backends.records is None:
        raise InvalidDocumentError(f"nothing is checked in the {kit.backends.mode} mode; {AT_HOME}")
    policy = AddressPolicy(loopback=True, denied=networks(session.settings.health_check_denied_networks))
    checker = Checker(
        kit.backends.records, kit.backends.registry, interval=session.settings.service_health_check_interval, policy=policy
    )
    try:
        return checker.check_now(name)
    finally:
        checker.close()


def _registered(kit: ConfigKit, instance: ServiceInstance, ttl: float | None, *, wait: bool) -> Any:
    return kit.register(
        url=instance.service_url,
        health_check_url=instance.health_check_url,
        service_name=instance.service_name,
        instance_id=instance.instance_id,
        weight=instance.weight,
        zone=instance.zone,
        ttl_seconds=ttl,
        wait_until_healthy=wait,
    )


def _register_once(session: Session, kit: ConfigKit, instance: ServiceInstance, ttl: float | None, lease: float | None) -> None:
    listed, _ = kit.calls.run(kit.backends.registry.register, instance, ttl_seconds=ttl, origin=kit.origin)
    if lease is None:
        lives = "a running server checks it, and removes it after 10 minutes without a good answer"
    else:
        lives = f"listed for {lease:g} s, unless it is registered again by then"
    session.out.done(f"{listed.service_name}/{listed.instance_id}: registered; {lives}", wire(listed))
