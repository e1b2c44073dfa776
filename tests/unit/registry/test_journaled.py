"""A registry without a journal of its own: its changes are in the deployment's, which never stands in their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from configkit.backends.memory import open_memory
from configkit.errors import NotFoundError, UnavailableError
from configkit.models import Origin, ServiceInstance
from configkit.ports import Backends
from configkit.registry.journaled import JournaledRegistry
from tests.waiting import eventually

ORIGIN = Origin("asr", "library")
INSTANCE = ServiceInstance("asr", "http://a.example:80", None, "node:1")


class Lines:
    """A journal of registrations that can be slow, or away."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str, Origin]] = []
        self.error: UnavailableError | None = None
        self.answering = threading.Event()
        self.answering.set()

    def record_registration(self, action: str, service_name: str, instance_id: str, *, origin: Origin) -> None:
        self.answering.wait(10)
        if self.error is not None:
            raise self.error
        self.lines.append((action, service_name, instance_id, origin))


@pytest.fixture
def backends() -> Iterator[Backends]:
    made = open_memory(threads=False)
    yield made
    made.close()


def test_what_happens_at_the_registry_is_journalled_after_it(backends: Backends) -> None:
    journal = Lines()
    registry = JournaledRegistry(backends.registry, journal)  # type: ignore[arg-type]
    listed, new = registry.register(INSTANCE, ttl_seconds=30, origin=ORIGIN)
    registry.heartbeat("asr", "node:1")
    assert (new, [each.instance_id for each in registry.instances("asr")]) == (True, [listed.instance_id])
    registry.deregister("asr", "node:1", origin=ORIGIN)
    assert journal.lines == [("register", "asr", "node:1", ORIGIN), ("deregister", "asr", "node:1", ORIGIN)]
    with pytest.raises(NotFoundError):
        registry.deregister("asr", "node:1", origin=ORIGIN)
    assert len(journal.lines) == 2


def test_a_journal_that_is_away_is_logged_and_harms_nobody(backends: Backends, caplog: pytest.LogCaptureFixture) -> None:
    journal = Lines()
    journal.error = UnavailableError("away", backend="postgres", operation="record")
    JournaledRegistry(backends.registry, journal).register(INSTANCE, origin=ORIGIN)  # type: ignore[arg-type]
    assert "asr/node:1 did register could not be journalled" in caplog.text
    assert [each.instance_id for each in backends.registry.instances("asr")] == ["node:1"]


def test_a_journal_that_hangs_holds_a_registration_up_for_a_moment(backends: Backends) -> None:
    journal = Lines()
    journal.answering.clear()
    began = time.monotonic()
    JournaledRegistry(backends.registry, journal).register(INSTANCE, origin=ORIGIN)  # type: ignore[arg-type]
    assert 0.4 < time.monotonic() - began < 1.5
    journal.answering.set()
    eventually(lambda: len(journal.lines) == 1)
