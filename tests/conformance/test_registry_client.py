"""The contract of `ServiceRegistryClient`."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from configkit.errors import InvalidDocumentError, NotFoundError
from configkit.models import ServiceSummary
from configkit.ports import ServiceRegistryClient
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN
from tests.waiting import eventually

PORT = "registry"


def _seconds_until(end: datetime | None) -> float:
    assert end is not None
    return (end - datetime.now(UTC)).total_seconds()


def _summary(registry: ServiceRegistryClient, service: str) -> ServiceSummary | None:
    return {summary.service_name: summary for summary in registry.services()}.get(service)


def test_a_registered_instance_is_listed_with_everything_it_said(deployment: Deployment) -> None:
    wanted = fresh.instance(
        service_url="https://10.0.0.5:8443/base?x=1",
        health_check_url=fresh.HEALTH_URL,
        instance_id="node:1.a-b_C",
        weight=7,
        zone="eu-1",
        metadata={"version": "1.2", "ünïcode": "翻訳 🚀", "empty": ""},
    )
    registered, created = deployment.one.registry.register(wanted, ttl_seconds=60, origin=ORIGIN)
    assert created is True
    assert (registered.service_name, registered.instance_id) == (wanted.service_name, "node:1.a-b_C")
    assert (registered.service_url, registered.health_check_url) == (wanted.service_url, fresh.HEALTH_URL)
    assert (registered.weight, registered.zone, dict(registered.metadata)) == (7, "eu-1", dict(wanted.metadata))
    assert registered.status == "unknown"
    assert registered.last_health_check is None
    assert fresh.is_recent(registered.registered_at)
    (listed,) = deployment.other.registry.instances(wanted.service_name)
    assert replace(listed, expires_at=None) == replace(registered, expires_at=None)


def test_an_instance_needs_no_more_than_a_url(deployment: Deployment) -> None:
    wanted = fresh.instance()
    registered, created = deployment.one.registry.register(wanted, origin=ORIGIN)
    assert (created, registered.instance_id) == (True, wanted.instance_id)
    assert (registered.health_check_url, registered.weight, registered.zone, dict(registered.metadata)) == (None, 1, None, {})


def test_a_lease_is_as_long_as_asked_for(deployment: Deployment) -> None:
    for ttl in (5, 12.5, 3600):
        registered, _ = deployment.one.registry.register(fresh.instance(), ttl_seconds=ttl, origin=ORIGIN)
        assert _seconds_until(registered.expires_at) == pytest.approx(ttl, abs=2)


def test_a_lease_without_a_length_is_30_seconds(deployment: Deployment) -> None:
    registered, _ = deployment.one.registry.register(fresh.instance(), origin=ORIGIN)
    assert _seconds_until(registered.expires_at) == pytest.approx(30, abs=2)
    (listed,) = deployment.other.registry.instances(registered.service_name)
    assert _seconds_until(listed.expires_at) == pytest.approx(30, abs=2)


def test_a_health_check_takes_the_place_of_a_lease(deployment: Deployment) -> None:
    wanted = fresh.instance(health_check_url=fresh.HEALTH_URL)
    registered, _ = deployment.one.registry.register(wanted, origin=ORIGIN)
    assert registered.expires_at is None
    (listed,) = deployment.other.registry.instances(wanted.service_name)
    assert listed.expires_at is None
    with pytest.raises(NotFoundError):
        deployment.one.registry.heartbeat(wanted.service_name, wanted.instance_id)


def test_an_instance_may_have_both_a_lease_and_a_health_check(deployment: Deployment) -> None:
    wanted = fresh.instance(health_check_url=fresh.HEALTH_URL)
    registered, _ = deployment.one.registry.register(wanted, ttl_seconds=20, origin=ORIGIN)
    assert _seconds_until(registered.expires_at) == pytest.approx(20, abs=2)
    assert _seconds_until(deployment.one.registry.heartbeat(wanted.service_name, wanted.instance_id)) == pytest.approx(20, abs=2)


@pytest.mark.parametrize("ttl", [4.9, 3600.5, 0, -1, 1e9, float("nan"), float("inf"), True, "30"])
def test_a_lease_of_another_length_is_refused_and_nothing_is_listed(deployment: Deployment, ttl: Any) -> None:
    wanted = fresh.instance()
    with pytest.raises(InvalidDocumentError) as caught:
        deployment.one.registry.register(wanted, ttl_seconds=ttl, origin=ORIGIN)
    assert caught.value.pointer == "/ttl_seconds"
    assert deployment.one.registry.instances(wanted.service_name) == []


def test_a_service_with_capitals_is_read_but_not_registered(deployment: Deployment) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        deployment.one.registry.register(fresh.instance("Foreign-Service"), origin=ORIGIN)
    assert caught.value.pointer == "/service_name"
    assert deployment.one.registry.instances("Foreign-Service") == []


def test_registering_an_id_again_replaces_what_it_was(deployment: Deployment) -> None:
    service = fresh.name("svc")
    first = fresh.instance(service, instance_id="one", service_url="http://10.0.0.1:1", metadata={"old": "yes"}, zone="a")
    second = fresh.instance(service, instance_id="one", service_url="http://10.0.0.2:2", weight=3)
    assert deployment.one.registry.register(first, origin=ORIGIN)[1] is True
    registered, created = deployment.other.registry.register(second, ttl_seconds=100, origin=ORIGIN)
    assert created is False
    (listed,) = deployment.one.registry.instances(service)
    for instance in (registered, listed):
        assert (instance.service_url, instance.weight) == ("http://10.0.0.2:2", 3)
        assert (instance.zone, dict(instance.metadata)) == (None, {})
        assert _seconds_until(instance.expires_at) == pytest.approx(100, abs=2)


def test_registering_again_without_a_lease_ends_the_lease(deployment: Deployment) -> None:
    service = fresh.name("svc")
    deployment.one.registry.register(fresh.instance(service, instance_id="one"), origin=ORIGIN)
    checked = fresh.instance(service, instance_id="one", health_check_url=fresh.HEALTH_URL)
    deployment.one.registry.register(checked, origin=ORIGIN)
    assert [instance.expires_at for instance in deployment.one.registry.instances(service)] == [None]


def test_whatever_status_is_claimed_an_instance_begins_unknown(deployment: Deployment) -> None:
    claimed = fresh.instance(health_check_url=fresh.HEALTH_URL, status="healthy")
    registered, _ = deployment.one.registry.register(claimed, origin=ORIGIN)
    assert registered.status == "unknown"
    assert [instance.status for instance in deployment.one.registry.instances(claimed.service_name)] == ["unknown"]


def test_an_instance_may_say_as_much_as_is_allowed(deployment: Deployment) -> None:
    metadata = {f"{number:02d}".ljust(128, "n"): "🚀" * 1024 for number in range(64)}
    url = "http://10.0.0.5/" + "p" * 2032
    wanted = fresh.instance(instance_id="i:" * 127 + "i", service_url=url, zone="z" * 64, weight=65535, metadata=metadata)
    deployment.one.registry.register(wanted, origin=ORIGIN)
    (listed,) = deployment.other.registry.instances(wanted.service_name)
    assert (listed.instance_id, listed.service_url, listed.zone) == (wanted.instance_id, url, "z" * 64)
    assert (listed.weight, dict(listed.metadata)) == (65535, metadata)
    deployment.other.registry.deregister(wanted.service_name, wanted.instance_id, origin=ORIGIN)


def test_instances_are_listed_by_id(deployment: Deployment) -> None:
    service = fresh.name("svc")
    ids = ["b", "Zeta", "a:b", "a", "a-b", "a.b", "a_b"]
    for instance_id in ids:
        deployment.one.registry.register(fresh.instance(service, instance_id=instance_id), origin=ORIGIN)
    assert [instance.instance_id for instance in deployment.other.registry.instances(service)] == sorted(ids)


def test_the_same_id_in_another_service_is_another_instance(deployment: Deployment) -> None:
    first, second = fresh.instance(instance_id="one"), fresh.instance(instance_id="one")
    for instance in (first, second):
        assert deployment.one.registry.register(instance, origin=ORIGIN)[1] is True
    deployment.one.registry.deregister(first.service_name, "one", origin=ORIGIN)
    assert deployment.one.registry.instances(first.service_name) == []
    assert len(deployment.one.registry.instances(second.service_name)) == 1


def test_an_unknown_service_has_no_instances(deployment: Deployment) -> None:
    assert deployment.one.registry.instances(fresh.name("svc")) == []


def test_a_heartbeat_renews_the_lease_for_its_own_length(deployment: Deployment) -> None:
    wanted = fresh.instance()
    registered, _ = deployment.one.registry.register(wanted, ttl_seconds=40, origin=ORIGIN)
    end = deployment.other.registry.heartbeat(wanted.service_name, wanted.instance_id)
    assert registered.expires_at is not None
    assert end >= registered.expires_at.replace(microsecond=0)
    assert _seconds_until(end) == pytest.approx(40, abs=2)
    assert end.tzinfo is not None


def test_a_deregistered_instance_is_gone_and_must_register_again(deployment: Deployment) -> None:
    wanted = fresh.instance()
    deployment.one.registry.register(wanted, origin=ORIGIN)
    deployment.other.registry.deregister(wanted.service_name, wanted.instance_id, origin=ORIGIN)
    assert deployment.one.registry.instances(wanted.service_name) == []
    assert _summary(deployment.one.registry, wanted.service_name) is None
    with pytest.raises(NotFoundError):
        deployment.one.registry.heartbeat(wanted.service_name, wanted.instance_id)
    with pytest.raises(NotFoundError):
        deployment.one.registry.deregister(wanted.service_name, wanted.instance_id, origin=ORIGIN)
    assert deployment.one.registry.register(wanted, origin=ORIGIN)[1] is True


def test_what_was_never_registered_is_not_found(deployment: Deployment) -> None:
    service = fresh.name("svc")
    with pytest.raises(NotFoundError):
        deployment.one.registry.heartbeat(service, "nobody")
    with pytest.raises(NotFoundError):
        deployment.one.registry.deregister(service, "nobody", origin=ORIGIN)


def test_services_are_summed_up_by_name(deployment: Deployment) -> None:
    registry = deployment.one.registry
    leased, checked = fresh.name("leased"), fresh.name("checked")
    for number in range(3):
        registry.register(fresh.instance(leased, instance_id=f"i{number}"), origin=ORIGIN)
    registry.register(fresh.instance(checked, health_check_url=fresh.HEALTH_URL), origin=ORIGIN)
    registry.register(fresh.instance(checked, instance_id="leased"), origin=ORIGIN)
    other = deployment.other.registry
    assert _summary(other, leased) == ServiceSummary(leased, instances=3, healthy=3)
    assert _summary(other, checked) == ServiceSummary(checked, instances=2, healthy=1)
    listed = [summary.service_name for summary in other.services()]
    assert listed == sorted(listed)


def test_of_clients_that_register_the_same_id_one_is_first(deployment: Deployment) -> None:
    wanted = fresh.instance()
    registries = (deployment.one.registry, deployment.other.registry)
    with ThreadPoolExecutor(4) as pool:
        created = list(pool.map(lambda n: registries[n % 2].register(wanted, origin=ORIGIN)[1], range(8)))
    assert sorted(created) == [False] * 7 + [True]
    assert len(deployment.one.registry.instances(wanted.service_name)) == 1


def test_an_instance_is_gone_soon_after_its_lease_ended_and_not_before(deployment: Deployment) -> None:
    service = fresh.name("svc")
    registry = deployment.one.registry
    began = time.monotonic()
    registry.register(fresh.instance(service, instance_id="dies"), ttl_seconds=5, origin=ORIGIN)
    registry.register(fresh.instance(service, instance_id="beats"), ttl_seconds=5, origin=ORIGIN)
    registry.register(fresh.instance(service, instance_id="long"), ttl_seconds=60, origin=ORIGIN)

    def left() -> list[str]:
        deployment.other.registry.heartbeat(service, "beats")
        return [instance.instance_id for instance in deployment.other.registry.instances(service)]

    eventually(lambda: left() == ["beats", "long"], timeout=8, every=0.1)
    assert 4.5 <= time.monotonic() - began <= 7.5
    assert _summary(registry, service) == ServiceSummary(service, instances=2, healthy=2)
    with pytest.raises(NotFoundError):
        registry.heartbeat(service, "dies")
    with pytest.raises(NotFoundError):
        registry.deregister(service, "dies", origin=ORIGIN)
    assert registry.register(fresh.instance(service, instance_id="dies"), origin=ORIGIN)[1] is True
