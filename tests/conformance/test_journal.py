"""The contract of `Journal`: who did what, when, from where; never a value."""

from __future__ import annotations

from typing import Literal

import pytest

from configkit.errors import ConfigKitError
from configkit.models import HealthCheck, Origin
from configkit.ports import Backends, Journal, JournalEntry, Token
from tests.conformance import fresh
from tests.conformance.backends import Deployment

PORT = "journal"

ORIGIN = Origin("ann", "10.1.2.3")


def _journal(backends: Backends) -> Journal:
    assert backends.journal is not None
    return backends.journal


def _about(deployment: Deployment, subject: str) -> list[JournalEntry]:
    return [entry for entry in _journal(deployment.other).entries(limit=50) if entry.subject == subject]


def test_every_change_of_a_value_is_a_line_with_its_author(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, 1, is_encrypted=False, origin=ORIGIN)
    store.update(path, 2, origin=Origin("bob", "cli"))
    store.delete(path, origin=ORIGIN)
    store.rollback(path, 1, origin=ORIGIN)
    lines = _about(deployment, str(path))
    assert [(line.kind, line.action, line.version) for line in lines] == [
        ("config", "rollback", 3),
        ("config", "delete", 2),
        ("config", "update", 2),
        ("config", "create", 1),
    ]
    assert [(line.origin.changed_by, line.origin.source) for line in lines[2:]] == [("bob", "cli"), ("ann", "10.1.2.3")]
    assert all(fresh.is_recent(line.at) for line in lines)


def test_every_change_of_a_flag_is_a_line_with_the_counter(deployment: Deployment) -> None:
    store = deployment.one.flags
    flag = store.create(fresh.flag(), origin=ORIGIN)
    store.update("staging", flag.name, {"is_enabled": True}, origin=ORIGIN)
    store.delete("staging", flag.name, origin=ORIGIN)
    lines = _about(deployment, f"staging/{flag.name}")
    assert [(line.kind, line.action, line.version) for line in lines] == [
        ("flag", "delete", flag.version + 2),
        ("flag", "update", flag.version + 1),
        ("flag", "create", flag.version),
    ]


def test_coming_and_going_of_an_instance_is_a_line_each_and_heartbeats_are_none(deployment: Deployment) -> None:
    instance = fresh.instance(instance_id="node:1")
    registry = deployment.one.registry
    registry.register(instance, origin=ORIGIN)
    registry.heartbeat(instance.service_name, "node:1")
    registry.deregister(instance.service_name, "node:1", origin=ORIGIN)
    lines = _about(deployment, f"{instance.service_name}/node:1")
    assert [(line.kind, line.action) for line in lines] == [("registry", "deregister"), ("registry", "register")]


def test_what_came_and_went_at_another_registry_is_a_line_once_recorded(deployment: Deployment) -> None:
    journal = _journal(deployment.one)
    subject = f"{fresh.name('asr')}/node:1"
    actions: tuple[Literal["register", "deregister"], ...] = ("register", "deregister")
    for action in actions:
        journal.record_registration(action, *subject.split("/"), origin=ORIGIN)
    lines = _about(deployment, subject)
    assert [(line.kind, line.action, line.origin) for line in lines] == [
        ("registry", "deregister", ORIGIN),
        ("registry", "register", ORIGIN),
    ]


def test_an_instance_that_was_swept_is_a_line(deployment: Deployment) -> None:
    instance = fresh.instance(instance_id="sick", health_check_url=fresh.HEALTH_URL)
    deployment.one.registry.register(instance, origin=ORIGIN)
    assert deployment.one.records is not None
    deployment.one.records.record_check(instance.service_name, HealthCheck("sick", healthy=False, response_time_ms=1), "unhealthy")
    deployment.one.records.sweep(unhealthy_for=0)
    assert [line.action for line in _about(deployment, f"{instance.service_name}/sick")] == ["expire", "register"]


def test_tokens_are_lines_without_their_digest(deployment: Deployment) -> None:
    token = Token(fresh.name("token"), "d" * 64, frozenset(("admin",)))
    assert deployment.one.tokens is not None
    deployment.one.tokens.create(token, origin=ORIGIN)
    deployment.one.tokens.revoke(token.name, origin=ORIGIN)
    lines = _about(deployment, token.name)
    assert [(line.kind, line.action, line.version) for line in lines] == [("token", "revoke", None), ("token", "create", None)]
    assert "d" * 64 not in repr(lines)


def test_reads_of_secrets_are_lines_once_recorded(deployment: Deployment) -> None:
    paths = [fresh.path("api_key") for _ in range(2)]
    _journal(deployment.one).record_read(paths, origin=Origin("eve", "10.9.9.9"))
    for path in paths:
        (line,) = _about(deployment, str(path))
        assert (line.kind, line.action, line.origin) == ("config", "read", Origin("eve", "10.9.9.9"))


def test_recording_no_reads_adds_no_line(deployment: Deployment) -> None:
    before = _journal(deployment.one).entries(limit=1)
    _journal(deployment.one).record_read([], origin=ORIGIN)
    assert _journal(deployment.one).entries(limit=1) == before


def test_no_line_has_a_value_or_a_comment(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, "canary-1", is_encrypted=False, origin=ORIGIN, comment="canary-2")
    store.update(path, {"canary-3": "canary-4"}, origin=ORIGIN, is_encrypted=True)
    deployment.one.flags.create(fresh.flag(description="canary-5", target_users=("canary-6",)), origin=ORIGIN)
    deployment.one.registry.register(fresh.instance(metadata={"canary-7": "canary-8"}), origin=ORIGIN)
    assert "canary" not in repr(_journal(deployment.one).entries(limit=50))


def test_what_was_refused_is_no_line(deployment: Deployment) -> None:
    path = fresh.path()
    store = deployment.one.config
    store.create(path, 1, is_encrypted=False, origin=ORIGIN)
    for attempt in (
        lambda: store.create(path, 2, is_encrypted=False, origin=ORIGIN),
        lambda: store.update(path, 2, origin=ORIGIN, expected_version=7),
        lambda: store.update(path, None, origin=ORIGIN),
        lambda: store.rollback(path, 7, origin=ORIGIN),
        lambda: store.delete(path, origin=ORIGIN, expected_version=7),
    ):
        with pytest.raises(ConfigKitError):
            attempt()
    assert [line.action for line in _about(deployment, str(path))] == ["create"]


def test_the_journal_comes_newest_first_in_parts(deployment: Deployment) -> None:
    paths = [fresh.path() for _ in range(5)]
    for path in paths:
        deployment.one.config.create(path, 1, is_encrypted=False, origin=ORIGIN)
    journal = _journal(deployment.other)
    newest_first = [str(path) for path in reversed(paths)]
    assert [line.subject for line in journal.entries(limit=5)] == newest_first
    assert [line.subject for line in journal.entries(limit=2, offset=1)] == newest_first[1:3]
    assert journal.entries(limit=5, offset=1_000_000) == []
