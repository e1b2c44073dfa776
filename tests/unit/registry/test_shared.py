"""Lists of instances that outlive a process: only while the registry is away, only for a while, and said to be stale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from configkit.backends.memory import MemoryBlobs, open_memory
from configkit.calls import Calls
from configkit.errors import AccessDeniedError, UnavailableError
from configkit.models import Origin, ServiceInstance
from configkit.ports import Backends
from configkit.registry import shared
from configkit.registry.discovery import Services
from configkit.registry.shared import SharedLists
from tests.unit.registry.test_discovery import GONE, Counted
from tests.waiting import eventually

ORIGIN = Origin("test")
AT = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
FULL = ServiceInstance(
    "asr", "http://a.example:80", "http://a.example:80/health", "a", "healthy", 7, "eu-1", {"k": "ü"}, AT, AT, AT
)  # fmt: skip


class Rig:
    def __init__(self, stack: ExitStack) -> None:
        self.backends: Backends = open_memory(threads=False)
        stack.callback(self.backends.close)
        self.registry = Counted(self.backends.registry)
        self.blobs = MemoryBlobs()
        self.stack = stack

    def process(self, *, max_stale: float = 60.0) -> Services:
        calls = Calls(workers=2, deadline=0.5)
        self.stack.callback(calls.close)
        return Services(self.registry, calls, blobs=self.blobs, max_stale=max_stale)  # type: ignore[arg-type]


@pytest.fixture
def rig() -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(stack)


def add(rig: Rig, instance_id: str) -> None:
    rig.backends.registry.register(
        ServiceInstance("asr", f"http://{instance_id}.example:80", instance_id=instance_id), origin=ORIGIN
    )


def test_a_process_that_starts_while_the_registry_is_away_goes_by_the_last_list_and_says_so(rig: Rig) -> None:
    add(rig, "a")
    rig.process().instances("asr")
    rig.registry.error = GONE
    found = rig.process().instances("asr")
    assert ([instance.instance_id for instance in found.items], found.stale) == (["a"], True)


def test_once_the_registry_is_back_its_own_answer_counts(rig: Rig) -> None:
    add(rig, "a")
    rig.process().instances("asr")
    rig.registry.error = GONE
    late = rig.process()
    assert late.instances("asr").stale
    add(rig, "b")
    rig.registry.error = None
    late.instances("asr", fresh=True)
    found = late.instances("asr")
    assert ([instance.instance_id for instance in found.items], found.stale) == (["a", "b"], False)


def test_while_the_registry_answers_what_is_remembered_is_never_shown(rig: Rig) -> None:
    add(rig, "a")
    rig.process().instances("asr")
    rig.backends.registry.deregister("asr", "a", origin=ORIGIN)
    assert rig.process().instances("asr").items == ()


def test_a_list_older_than_a_process_would_serve_its_own_is_forgotten(rig: Rig) -> None:
    add(rig, "a")
    rig.process(max_stale=0.2).instances("asr")
    rig.registry.error = GONE
    late = rig.process(max_stale=0.2)

    def refused() -> bool:
        try:
            late.instances("asr")
        except UnavailableError:
            return True
        return False

    eventually(refused)


def test_a_registry_that_denies_is_not_made_up_for(rig: Rig) -> None:
    add(rig, "a")
    rig.process().instances("asr")
    rig.registry.error = AccessDeniedError("no", backend="test", operation="instances")
    with pytest.raises(AccessDeniedError):
        rig.process().instances("asr")


def test_an_instance_is_remembered_with_every_field() -> None:
    lists = SharedLists(MemoryBlobs(), seconds=60)
    lists.keep("asr", [FULL])
    found = lists.find("asr")
    assert found is not None
    assert found[0] == (FULL,)
    assert found[1] < 5


@pytest.mark.parametrize("garbage", [b"", b"{}", b"null", b"[1]", b"[{}]", b"[" * 100_000, b'[{"service_name": "asr"}]'])
def test_garbage_is_as_good_as_nothing(garbage: bytes) -> None:
    blobs = MemoryBlobs()
    lists = SharedLists(blobs, seconds=60)
    blobs.keep("registry/asr", 2**52, garbage, seconds=60)
    assert lists.find("asr") is None


def test_a_list_of_another_service_is_no_answer() -> None:
    blobs = MemoryBlobs()
    lists = SharedLists(blobs, seconds=60)
    lists.keep("asr", [FULL])
    there = blobs.load("registry/asr")
    assert there is not None
    blobs.keep("registry/nmt", *there, seconds=60)
    assert lists.find("nmt") is None


def test_a_list_that_is_too_large_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MAX_BYTES", 10)
    lists = SharedLists(MemoryBlobs(), seconds=60)
    lists.keep("asr", [FULL])
    assert lists.find("asr") is None
