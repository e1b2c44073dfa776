"""Leases and checks by an injected clock, also across a restart of the machine."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from configkit.backends.sql.clock import Clock
from configkit.errors import ConflictError, InvalidDocumentError, NotFoundError, OutcomeUnknownError
from configkit.models import HealthCheck, Origin, ServiceInstance
from configkit.ports import Backends, IdempotencyStore, Outcome, RegistryRecords
from tests.unit.backends.sql.conftest import Open

ORIGIN = Origin("ann", "test")
LEASED = ServiceInstance("svc", "http://10.0.0.1:1", instance_id="leased")
CHECKED = ServiceInstance("svc", "http://10.0.0.1:2", "http://10.0.0.1:2/health", instance_id="checked")
ILL = HealthCheck("checked", healthy=False, response_time_ms=1.0, error="timeout")


@dataclass
class Time:
    """A machine's clocks, moved by hand."""

    wall: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    mono: float = 1000.0
    boot: str = "first"

    def pass_by(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.mono += seconds

    def restart(self, mono: float = 5.0) -> None:
        self.mono, self.boot = mono, f"after {self.boot}"

    def clock(self) -> Clock:
        return Clock(now=lambda: self.wall, monotonic=lambda: self.mono, boot=lambda: self.boot)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def backends(opened: Open, time: Time) -> Backends:
    return opened(clock=time.clock())


@pytest.fixture
def records(backends: Backends) -> RegistryRecords:
    assert backends.records is not None
    return backends.records


@pytest.fixture
def requests(backends: Backends) -> IdempotencyStore:
    assert backends.idempotency is not None
    return backends.idempotency


def listed(backends: Backends) -> list[str]:
    return [instance.instance_id for instance in backends.registry.instances("svc")]


def test_a_lease_ends_by_itself_and_a_sweep_removes_what_is_left(backends: Backends, records: RegistryRecords, time: Time) -> None:
    backends.registry.register(LEASED, ttl_seconds=5, origin=ORIGIN)
    time.pass_by(4.9)
    assert listed(backends) == ["leased"]
    assert records.sweep() == []
    time.pass_by(0.2)
    assert listed(backends) == []
    assert backends.registry.services() == []
    with pytest.raises(NotFoundError):
        backends.registry.heartbeat("svc", "leased")
    with pytest.raises(NotFoundError):
        backends.registry.deregister("svc", "leased", origin=ORIGIN)
    assert records.sweep() == [("svc", "leased")]
    assert records.sweep() == []
    assert backends.journal is not None
    assert [entry.action for entry in backends.journal.entries(limit=10)] == ["expire", "register"]


def test_a_heartbeat_renews_the_lease_for_its_own_length(backends: Backends, time: Time) -> None:
    backends.registry.register(LEASED, ttl_seconds=10, origin=ORIGIN)
    time.pass_by(9)
    assert backends.registry.heartbeat("svc", "leased") == time.wall + timedelta(seconds=10)
    assert backends.registry.instances("svc")[0].expires_at == time.wall + timedelta(seconds=10)
    time.pass_by(9)
    assert listed(backends) == ["leased"]


def test_a_clock_that_jumps_neither_ends_nor_prolongs_a_lease(backends: Backends, time: Time) -> None:
    backends.registry.register(LEASED, ttl_seconds=10, origin=ORIGIN)
    for jump in (timedelta(days=1), timedelta(days=-3)):
        time.wall += jump
        assert listed(backends) == ["leased"]
    time.mono += 11
    assert listed(backends) == []


def test_no_lease_survives_a_restart_of_the_machine(backends: Backends, records: RegistryRecords, time: Time) -> None:
    backends.registry.register(LEASED, ttl_seconds=3600, origin=ORIGIN)
    time.restart(mono=1000.0)
    assert listed(backends) == []
    assert records.sweep() == [("svc", "leased")]
    _, new = backends.registry.register(LEASED, ttl_seconds=3600, origin=ORIGIN)
    assert new


@pytest.mark.parametrize("ttl", [4.9, 3601, 0, -1, float("nan"), float("inf"), True, "30"])
def test_a_lease_of_another_length_is_refused(backends: Backends, ttl: float) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        backends.registry.register(LEASED, ttl_seconds=ttl, origin=ORIGIN)
    assert caught.value.pointer == "/ttl_seconds"
    assert listed(backends) == []


def test_each_due_check_is_claimed_by_one_caller_only(opened: Open, time: Time) -> None:
    servers = [opened(clock=time.clock()) for _ in range(4)]
    for number in range(40):
        one = ServiceInstance("svc", "http://10.0.0.1:2", "http://10.0.0.1:2/health", instance_id=f"i{number:02}")
        servers[0].registry.register(one, origin=ORIGIN)
    claimed: list[str] = []

    def claim(server: Backends) -> None:
        assert server.records is not None
        while due := server.records.due_checks(interval=10, limit=3):
            claimed.extend(instance.instance_id for instance in due)

    threads = [threading.Thread(target=claim, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(claimed) == [f"i{number:02}" for number in range(40)]
    time.pass_by(9.9)
    assert servers[0].records is not None
    assert servers[0].records.due_checks(interval=10) == []
    time.pass_by(0.1)
    assert len(servers[0].records.due_checks(interval=10)) == 40


def test_checks_are_due_again_after_a_restart_of_the_machine(backends: Backends, records: RegistryRecords, time: Time) -> None:
    backends.registry.register(CHECKED, origin=ORIGIN)
    assert len(records.due_checks(interval=10)) == 1
    time.restart(mono=1001.0)
    assert len(records.due_checks(interval=10)) == 1
    assert records.due_checks(interval=10) == []


def test_an_instance_without_a_lease_leaves_after_ten_minutes_of_illness(
    backends: Backends, records: RegistryRecords, time: Time
) -> None:
    backends.registry.register(CHECKED, origin=ORIGIN)
    records.record_check("svc", ILL, "unhealthy")
    time.pass_by(300)
    records.record_check("svc", ILL, "unhealthy")
    time.pass_by(299)
    assert records.sweep() == []
    assert listed(backends) == ["checked"]
    time.pass_by(1)
    assert records.sweep() == [("svc", "checked")]
    assert listed(backends) == []


def test_ten_minutes_of_illness_are_counted_anew_after_a_restart(backends: Backends, records: RegistryRecords, time: Time) -> None:
    backends.registry.register(CHECKED, origin=ORIGIN)
    records.record_check("svc", ILL, "unhealthy")
    time.restart(mono=10_000.0)
    assert records.sweep() == []
    time.pass_by(599)
    records.due_checks(interval=10)
    assert records.sweep() == []
    time.pass_by(1)
    assert records.sweep() == [("svc", "checked")]


@pytest.mark.parametrize("first", ["check", "claim"])
def test_a_check_after_a_restart_neither_ends_nor_forgets_the_count(
    backends: Backends, records: RegistryRecords, time: Time, first: str
) -> None:
    backends.registry.register(CHECKED, origin=ORIGIN)
    records.record_check("svc", ILL, "unhealthy")
    time.restart(mono=10_000.0)
    if first == "check":
        records.record_check("svc", ILL, "unhealthy")
    else:
        records.due_checks(interval=10)
    assert records.sweep() == []
    time.pass_by(600)
    assert records.sweep() == [("svc", "checked")]


def test_what_a_check_found_is_kept_only_under_the_same_health_url(
    backends: Backends, records: RegistryRecords, time: Time
) -> None:
    backends.registry.register(CHECKED, origin=ORIGIN)
    records.record_check("svc", HealthCheck("checked", healthy=True, response_time_ms=1.0), "healthy")
    again, new = backends.registry.register(CHECKED, origin=ORIGIN)
    assert (again.status, again.last_health_check, new) == ("healthy", time.wall, False)
    moved = ServiceInstance("svc", "http://10.0.0.1:2", "http://10.0.0.1:2/other", instance_id="checked")
    again, new = backends.registry.register(moved, origin=ORIGIN)
    assert (again.status, again.last_health_check, new) == ("unknown", None, False)


def test_a_claim_that_was_never_finished_is_never_carried_out_again(requests: IdempotencyStore, time: Time) -> None:
    assert requests.begin("key", "one") is None
    time.pass_by(59)
    with pytest.raises(ConflictError) as caught:
        requests.begin("key", "one")
    assert not isinstance(caught.value, OutcomeUnknownError)
    time.pass_by(2)
    with pytest.raises(OutcomeUnknownError):
        requests.begin("key", "one")
    with pytest.raises(InvalidDocumentError):
        requests.begin("key", "other")
    assert requests.begin("another", "one") is None
    time.restart()
    with pytest.raises(OutcomeUnknownError):
        requests.begin("another", "one")
    time.pass_by(24 * 3600)
    assert requests.begin("key", "other") is None


def test_an_outcome_is_kept_for_a_day(requests: IdempotencyStore, time: Time) -> None:
    assert requests.begin("key", "one") is None
    requests.finish("key", Outcome(201, "/api/v1/config/key", 1))
    time.pass_by(24 * 3600 - 1)
    assert requests.begin("key", "one") == Outcome(201, "/api/v1/config/key", 1)
    with pytest.raises(InvalidDocumentError):
        requests.begin("key", "other")
    time.pass_by(2)
    assert requests.begin("key", "other") is None


def test_one_of_many_servers_carries_a_request_out(opened: Open) -> None:
    stores = [opened().idempotency for _ in range(6)]
    answers: list[str] = []
    together = threading.Barrier(6)

    def begin(store: IdempotencyStore | None) -> None:
        assert store is not None
        together.wait(10)
        try:
            answers.append(str(store.begin("key", "fingerprint")))
        except ConflictError:
            answers.append("in flight")

    threads = [threading.Thread(target=begin, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == ["None"] + ["in flight"] * 5
