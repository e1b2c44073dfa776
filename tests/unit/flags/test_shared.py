"""Flag sets from the shared cache: never older than the store, whatever lies in the cache."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from configkit.backends.memory import MemoryBlobs
from configkit.calls import Calls
from configkit.errors import AccessDeniedError, BackendError, UnavailableError
from configkit.flags import shared
from configkit.flags.model import Flag
from configkit.flags.sets import FlagSets
from configkit.flags.shared import SharedFlagStore, encoded
from configkit.flags.snapshot import FlagSet
from configkit.models import FlagChanged, Origin
from tests.unit.flags.store import ENVIRONMENT, SteeredStore

NAME = shared._name(ENVIRONMENT)
AT = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)


def flag(name: str, **fields: object) -> Flag:
    return Flag(name, ENVIRONMENT, **{"created_at": AT, "updated_at": AT, **fields})  # type: ignore[arg-type]


class FailingBlobs(MemoryBlobs):
    """A cache that can be taken away."""

    failure: BackendError | None = None

    def load(self, name: str) -> tuple[int, bytes] | None:
        if self.failure is not None:
            raise self.failure
        return super().load(name)

    def keep(self, name: str, version: int, content: bytes, *, seconds: float) -> bool:
        if self.failure is not None:
            raise self.failure
        return super().keep(name, version, content, seconds=seconds)


@pytest.fixture
def store() -> SteeredStore:
    return SteeredStore(
        flag("a", rollout_percentage=12.345, is_enabled=True, target_users=("u1", "ü\u2028")), flag("b", description="d")
    )


@pytest.fixture
def blobs() -> FailingBlobs:
    return FailingBlobs()


def test_the_second_process_asks_the_store_for_its_counter_only(store: SteeredStore, blobs: FailingBlobs) -> None:
    first = SharedFlagStore(store, blobs).load(ENVIRONMENT)
    second = SharedFlagStore(store, blobs).load(ENVIRONMENT)
    assert store.loads == [None, 2]
    assert first is not None
    assert second == FlagSet(ENVIRONMENT, 2, dict(first.flags))


def test_a_set_that_is_known_already_is_none(store: SteeredStore, blobs: FailingBlobs) -> None:
    process = SharedFlagStore(store, blobs)
    assert process.load(ENVIRONMENT, 2) is None
    process.load(ENVIRONMENT)
    assert process.load(ENVIRONMENT, 2) is None


def test_after_a_change_one_process_loads_the_set_and_the_others_find_it(store: SteeredStore, blobs: FailingBlobs) -> None:
    processes = [SharedFlagStore(store, blobs) for _ in range(4)]
    for process in processes:
        process.load(ENVIRONMENT)
    store.put(flag("c"))
    store.loads.clear()
    versions = [loaded.version for process in processes if (loaded := process.load(ENVIRONMENT, 2)) is not None]
    assert versions == [3, 3, 3, 3]
    assert store.loads == [2, 3, 3, 3]


def test_what_is_shared_and_older_than_the_store_is_never_answered(store: SteeredStore, blobs: FailingBlobs) -> None:
    old = SharedFlagStore(store, blobs).load(ENVIRONMENT)
    assert old is not None
    store.put(flag("c"))
    blobs.drop(NAME)
    blobs.keep(NAME, old.version, encoded(old), seconds=60)
    loaded = SharedFlagStore(store, blobs).load(ENVIRONMENT)
    assert loaded is not None
    assert "c" in loaded.flags


def test_where_the_store_was_set_back_what_is_shared_follows(store: SteeredStore, blobs: FailingBlobs) -> None:
    process = SharedFlagStore(store, blobs)
    process.load(ENVIRONMENT)
    store.set_back(1, flag("restored", version=1))
    for _ in range(2):
        loaded = SharedFlagStore(store, blobs).load(ENVIRONMENT)
        assert loaded is not None
        assert (loaded.version, list(loaded.flags)) == (1, ["restored"])
    assert store.loads[-1] == 1


@pytest.mark.parametrize(
    "failure", [UnavailableError("down", backend="redis", operation="x"), AccessDeniedError("no", backend="redis", operation="x")]
)
def test_without_the_cache_the_store_is_asked_for_everything(
    store: SteeredStore, blobs: FailingBlobs, failure: BackendError
) -> None:
    blobs.failure = failure
    process = SharedFlagStore(store, blobs)
    loaded = process.load(ENVIRONMENT)
    assert loaded is not None
    assert loaded.version == 2
    assert process.load(ENVIRONMENT, 2) is None


def test_an_error_of_the_store_is_not_hidden_by_what_is_shared(store: SteeredStore, blobs: FailingBlobs) -> None:
    process = SharedFlagStore(store, blobs)
    process.load(ENVIRONMENT)
    store.failure = UnavailableError("down", backend="steered", operation="load")
    with pytest.raises(UnavailableError):
        process.load(ENVIRONMENT)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"{}",
        b"null",
        b'["x"]',
        b"[{}]",
        b"[" * 100_000,
        b'[{"name": "a"}]',
        encoded(FlagSet("staging", 2, {"a": Flag("a", "staging")})),
        encoded(FlagSet(ENVIRONMENT, 9, {"a": flag("a", version=9)})),
        encoded(FlagSet(ENVIRONMENT, 2, {"a": flag("a")})).replace(b'"is_enabled"', b'"of_another_release"'),
    ],
)
def test_garbage_in_the_cache_is_as_good_as_nothing(garbage: bytes, store: SteeredStore, blobs: FailingBlobs) -> None:
    blobs.keep(NAME, 2, garbage, seconds=60)
    loaded = SharedFlagStore(store, blobs).load(ENVIRONMENT)
    assert loaded is not None
    assert set(loaded.flags) == {"a", "b"}


def test_a_set_that_is_too_large_is_not_shared(store: SteeredStore, blobs: FailingBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MAX_BYTES", 10)
    assert SharedFlagStore(store, blobs).load(ENVIRONMENT) is not None
    assert blobs.load(NAME) is None


def test_writes_and_reads_of_single_flags_go_to_the_store(store: SteeredStore, blobs: FailingBlobs) -> None:
    process = SharedFlagStore(store, blobs)
    process.create(flag("c"), origin=Origin("t"))
    process.update(ENVIRONMENT, "c", {"is_enabled": True}, origin=Origin("t"))
    assert process.read(ENVIRONMENT, "c").is_enabled
    assert process.list(limit=10).total == 3
    process.delete(ENVIRONMENT, "c", origin=Origin("t"))
    loaded = process.load(ENVIRONMENT)
    assert loaded is not None
    assert loaded.version == 5


def test_many_processes_in_a_storm_of_changes_end_with_the_newest_set(store: SteeredStore, blobs: FailingBlobs) -> None:
    calls = Calls(workers=8)
    sets = [FlagSets(SharedFlagStore(store, blobs), calls) for _ in range(4)]
    for each in sets:
        each.ensure(ENVIRONMENT)
    stop = threading.Event()

    def change() -> None:
        for number in range(200):
            written = store.put(flag("storm", rollout_percentage=number % 100))
            for each in sets:
                each.on_event(FlagChanged(f"e{number}", ENVIRONMENT, "storm", written.version, deleted=False, at=AT))
        stop.set()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(change).result(20)
    assert stop.is_set()
    assert {each.refresh(ENVIRONMENT).version for each in sets} == {202}
    calls.close()
