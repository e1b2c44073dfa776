"""The contract of `RegistryRecords`: what servers do for instances that cannot do it themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from configkit.models import HealthCheck, RegistryChanged, ServiceInstance
from configkit.ports import Backends, RegistryRecords
from tests.conformance import fresh
from tests.conformance.backends import Deployment
from tests.conformance.fresh import ORIGIN
from tests.conformance.test_event_bus import listening
from tests.waiting import eventually

PORT = "records"

NEVER_AGAIN = 1e6


def _records(backends: Backends) -> RegistryRecords:
    assert backends.records is not None
    return backends.records


def _checked(deployment: Deployment, **fields: str) -> ServiceInstance:
    wanted = fresh.instance(health_check_url=fresh.HEALTH_URL, **fields)
    return deployment.one.registry.register(wanted, origin=ORIGIN)[0]


def _record(deployment: Deployment, instance: ServiceInstance, status: str) -> None:
    check = HealthCheck(instance.instance_id, healthy=status == "healthy", response_time_ms=1.5, status_code=200)
    _records(deployment.one).record_check(instance.service_name, check, status)


def _claim_all(records: RegistryRecords, *, interval: float = NEVER_AGAIN, limit: int = 100) -> list[str]:
    claimed: list[str] = []
    while due := records.due_checks(interval=interval, limit=limit):
        assert len(due) <= limit
        assert len(claimed) < 10_000, "claims do not last"
        claimed += [instance.service_name for instance in due]
    return claimed


def test_an_instance_that_was_never_checked_is_due_once(deployment: Deployment) -> None:
    instance = _checked(deployment)
    assert _claim_all(_records(deployment.one)).count(instance.service_name) == 1
    assert instance.service_name not in _claim_all(_records(deployment.other))


def test_a_due_instance_comes_with_what_is_needed_to_check_it(deployment: Deployment) -> None:
    _claim_all(_records(deployment.one))
    instance = _checked(deployment)
    (due,) = _records(deployment.other).due_checks(interval=NEVER_AGAIN)
    assert due == instance


def test_an_instance_is_due_again_after_the_interval(deployment: Deployment) -> None:
    instance = _checked(deployment)
    _claim_all(_records(deployment.one))
    again = _records(deployment.other).due_checks(interval=0, limit=10_000)
    assert instance.service_name in [due.service_name for due in again]


def test_an_instance_without_a_health_check_is_never_due(deployment: Deployment) -> None:
    wanted = fresh.instance()
    deployment.one.registry.register(wanted, origin=ORIGIN)
    assert wanted.service_name not in [due.service_name for due in _records(deployment.one).due_checks(interval=0, limit=10_000)]


def test_a_check_that_is_due_is_claimed_by_one_caller_only(deployment: Deployment) -> None:
    services = {_checked(deployment).service_name for _ in range(30)}
    callers = (_records(deployment.one), _records(deployment.other))
    with ThreadPoolExecutor(4) as pool:
        claims = [name for run in pool.map(lambda n: _claim_all(callers[n % 2], limit=4), range(4)) for name in run]
    assert services <= set(claims)
    assert len(claims) == len(set(claims))


@pytest.mark.parametrize("status", ["healthy", "unhealthy", "draining"])
def test_what_a_check_found_is_shown_to_everybody(deployment: Deployment, status: str) -> None:
    instance = _checked(deployment)
    _record(deployment, instance, status)
    (listed,) = deployment.other.registry.instances(instance.service_name)
    assert listed.status == status
    assert fresh.is_recent(listed.last_health_check)
    (summary,) = [each for each in deployment.other.registry.services() if each.service_name == instance.service_name]
    assert (summary.instances, summary.healthy) == (1, int(status == "healthy"))


def test_a_change_of_status_is_told_and_a_repetition_is_not(deployment: Deployment) -> None:
    instance, sentinel = _checked(deployment), _checked(deployment)
    with listening(deployment.other.bus) as heard:
        _record(deployment, instance, "healthy")
        eventually(lambda: heard.registry(instance.service_name))
        heard.events.clear()
        _record(deployment, instance, "healthy")
        _record(deployment, sentinel, "unhealthy")
        eventually(lambda: heard.registry(sentinel.service_name))
        assert heard.registry(instance.service_name) == []
        _record(deployment, instance, "unhealthy")
        eventually(lambda: heard.registry(instance.service_name))


def test_a_check_of_an_instance_that_is_gone_is_ignored(deployment: Deployment) -> None:
    instance = _checked(deployment)
    deployment.one.registry.deregister(instance.service_name, instance.instance_id, origin=ORIGIN)
    _record(deployment, instance, "healthy")
    assert deployment.one.registry.instances(instance.service_name) == []


def test_registering_again_under_the_same_health_check_keeps_what_it_found(deployment: Deployment) -> None:
    instance = _checked(deployment, instance_id="one")
    _record(deployment, instance, "healthy")
    same = fresh.instance(
        instance.service_name, instance_id="one", health_check_url=fresh.HEALTH_URL, service_url="http://10.0.0.9:9"
    )
    registered, created = deployment.other.registry.register(same, ttl_seconds=60, origin=ORIGIN)
    assert (created, registered.status) == (False, "healthy")
    assert fresh.is_recent(registered.last_health_check)
    (listed,) = deployment.one.registry.instances(instance.service_name)
    assert (listed.status, listed.service_url) == ("healthy", "http://10.0.0.9:9")


def test_registering_again_under_another_health_check_begins_anew(deployment: Deployment) -> None:
    instance = _checked(deployment, instance_id="one")
    _record(deployment, instance, "healthy")
    _claim_all(_records(deployment.one))
    other = fresh.instance(instance.service_name, instance_id="one", health_check_url="http://10.255.255.2:9/health")
    registered, _ = deployment.one.registry.register(other, origin=ORIGIN)
    assert (registered.status, registered.last_health_check) == ("unknown", None)
    assert instance.service_name in _claim_all(_records(deployment.other))


def test_a_sweep_removes_what_was_unhealthy_for_too_long_and_tells(deployment: Deployment) -> None:
    sick, well, unknown = (_checked(deployment) for _ in range(3))
    _record(deployment, sick, "unhealthy")
    _record(deployment, well, "healthy")
    records = _records(deployment.one)
    assert (sick.service_name, sick.instance_id) not in records.sweep(unhealthy_for=600)
    assert len(deployment.one.registry.instances(sick.service_name)) == 1
    with listening(deployment.other.bus) as heard:
        removed = records.sweep(unhealthy_for=0)
        assert (sick.service_name, sick.instance_id) in removed
        eventually(lambda: any(isinstance(event, RegistryChanged) for event in heard.registry(sick.service_name)))
    left = {each.service_name for each in deployment.other.registry.services()}
    assert {well.service_name, unknown.service_name} <= left
    assert sick.service_name not in left
    assert (sick.service_name, sick.instance_id) not in records.sweep(unhealthy_for=0)


def test_a_sweep_leaves_an_unhealthy_instance_to_its_lease(deployment: Deployment) -> None:
    wanted = fresh.instance(health_check_url=fresh.HEALTH_URL)
    instance, _ = deployment.one.registry.register(wanted, ttl_seconds=60, origin=ORIGIN)
    _record(deployment, instance, "unhealthy")
    assert (instance.service_name, instance.instance_id) not in _records(deployment.other).sweep(unhealthy_for=0)
    assert len(deployment.one.registry.instances(instance.service_name)) == 1


def test_an_instance_that_recovered_is_not_swept(deployment: Deployment) -> None:
    instance = _checked(deployment)
    _record(deployment, instance, "unhealthy")
    _record(deployment, instance, "healthy")
    assert (instance.service_name, instance.instance_id) not in _records(deployment.one).sweep(unhealthy_for=0)
