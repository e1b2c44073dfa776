"""The cache that all processes share: several of them in one test, on one store and one cache that can be taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from configkit.backends.memory import MemoryCache, open_memory
from configkit.calls import Calls
from configkit.config.documents import Documents
from configkit.config.shared import FILL_SECONDS, OWED_SECONDS, Shared
from configkit.errors import AccessDeniedError, BackendError, NotFoundError, UnavailableError
from configkit.models import ConfigChanged, ConfigPath, ConfigVersion, Event, Origin, Resync, utcnow
from configkit.ports import ConfigStore
from tests.waiting import eventually

ORIGIN = Origin("test")
PATH = ConfigPath("development", "asr-service", "model_path")
AT = datetime(2026, 1, 2, tzinfo=UTC)


class FailingCache(MemoryCache):
    """A shared cache that can be taken away, and that remembers whatever was ever put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: BackendError | None = None
        self.ever: list[ConfigVersion] = []

    def get(self, path: ConfigPath) -> ConfigVersion | None:
        self._fail()
        return super().get(path)

    def put(self, document: ConfigVersion, *, replace: bool = False) -> bool:
        self._fail()
        self.ever.append(document)
        return super().put(document, replace=replace)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    def value(self, path: ConfigPath = PATH) -> object:
        """Return what anybody would find."""
        there = super().get(path)
        return None if there is None or there.deleted else there.value


DOWN = UnavailableError("down", backend="redis", operation="test")
DENIED = AccessDeniedError("denied", backend="redis", operation="test")


class CountingStore:
    """A real store that counts its reads, and whose writes can be made not to answer."""

    def __init__(self, inner: ConfigStore) -> None:
        self.inner = inner
        self.reads = 0
        self.answers = True
        self.before_update: Callable[[], None] = lambda: None
        self.create, self.delete, self.rollback = inner.create, inner.delete, inner.rollback
        self.list, self.history = inner.list, inner.history

    def read(self, path: ConfigPath, version: int | None = None) -> ConfigVersion:
        self.reads += 1
        return self.inner.read(path, version)

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        self.reads += 1
        return self.inner.read_service(environment, service_name)

    def update(self, *args: object, **kwargs: object) -> ConfigVersion:
        self.before_update()
        written = self.inner.update(*args, **kwargs)  # type: ignore[arg-type]
        if not self.answers:
            raise UnavailableError("no answer", backend="test", operation="update")
        return written


class Rig:
    """One deployment; `process` is one more process of it, which hears of changes unless it is deaf."""

    def __init__(self, stack: ExitStack) -> None:
        self.backends = open_memory(threads=False)
        stack.callback(self.backends.close)
        self.store = CountingStore(self.backends.config)
        self.cache = FailingCache()
        self.calls = Calls(workers=0)

    def process(self, *, deaf: bool = False) -> Documents:
        documents = Documents(
            self.store,
            MemoryCache(),
            self.calls,
            environments=frozenset({"development"}),
            shared=self.cache,
        )
        if not deaf:
            self.backends.bus.subscribe(documents.on_event)
        return documents

    def reads_of(self, call: Callable[[], object]) -> int:
        before = self.store.reads
        call()
        return self.store.reads - before


@pytest.fixture
def rig() -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(stack)


def changed(path: ConfigPath, version: int | None, *, deleted: bool = False) -> Event:
    return ConfigChanged("e", path, version, deleted, utcnow())


def test_what_one_process_wrote_or_read_the_others_find_without_asking_the_store(rig: Rig) -> None:
    rig.process().create(PATH, "v", is_encrypted=False, origin=ORIGIN)
    other = rig.process()
    assert rig.reads_of(lambda: other.read(PATH)) == 0
    assert other.read(PATH).value == "v"
    rig.cache.clear()
    assert rig.reads_of(lambda: rig.process().read(PATH)) == 1
    assert rig.reads_of(lambda: rig.process().read(PATH)) == 0


def test_a_change_costs_one_read_of_the_store_however_many_processes_know_the_key(rig: Rig) -> None:
    rig.backends.config.create(PATH, "old", is_encrypted=False, origin=ORIGIN)
    processes = [rig.process() for _ in range(5)]
    for process in processes:
        process.read(PATH)
    assert rig.reads_of(lambda: rig.backends.config.update(PATH, "new", origin=ORIGIN)) == 1
    for process in processes:
        known = process.peek(PATH)
        assert known is not None
        assert known.value == "new"


def test_what_was_asked_for_fresh_comes_from_the_store(rig: Rig) -> None:
    process = rig.process()
    process.create(PATH, "v", is_encrypted=False, origin=ORIGIN)
    assert rig.reads_of(lambda: process.read(PATH, fresh=True)) == 1


def test_a_resynchronisation_asks_the_store_and_mends_what_is_shared(rig: Rig) -> None:
    process = rig.process(deaf=True)
    process.create(PATH, "old", is_encrypted=False, origin=ORIGIN)
    rig.backends.config.update(PATH, "new", origin=ORIGIN)
    assert rig.cache.value() == "old"
    process.on_event(Resync("test"))
    assert process.read(PATH).value == "new"
    assert rig.cache.value() == "new"


def test_a_deleted_key_is_not_found_and_older_values_stay_out(rig: Rig) -> None:
    process = rig.process()
    document = process.create(PATH, "v", is_encrypted=False, origin=ORIGIN)
    process.delete(PATH, origin=ORIGIN)
    assert rig.cache.put(document) is False
    with pytest.raises(NotFoundError):
        rig.process().read(PATH)


def test_an_entry_older_than_what_was_announced_is_not_believed(rig: Rig) -> None:
    """Even for a key that this process did not know when it heard of the change."""
    old = rig.backends.config.create(PATH, "old", is_encrypted=False, origin=ORIGIN)
    process = rig.process()
    rig.backends.config.update(PATH, "new", origin=ORIGIN)
    rig.cache.put(old)
    assert process.read(PATH).value == "new"
    assert rig.cache.value() == "new"


def test_where_the_announced_version_is_unknown_nothing_is_believed_before_the_store_was_asked(rig: Rig) -> None:
    old = rig.backends.config.create(PATH, "old", is_encrypted=False, origin=ORIGIN)
    process = rig.process(deaf=True)
    rig.cache.put(old)
    rig.backends.config.update(PATH, "new", origin=ORIGIN)
    process.on_event(changed(PATH, None))
    assert process.read(PATH).value == "new"
    assert rig.reads_of(lambda: rig.process().read(PATH)) == 0


@pytest.mark.parametrize("failure", [DOWN, DENIED])
def test_without_the_shared_cache_everything_is_read_and_written_as_before(rig: Rig, failure: BackendError) -> None:
    rig.cache.failure = failure
    process, other = rig.process(), rig.process()
    process.create(PATH, "a", is_encrypted=False, origin=ORIGIN)
    assert other.read(PATH).value == "a"
    process.update(PATH, "b", origin=ORIGIN)
    assert other.read(PATH).value == "b"
    process.rollback(PATH, 1, origin=ORIGIN)
    process.delete(PATH, origin=ORIGIN)
    with pytest.raises(NotFoundError):
        other.read(PATH)
    assert process.create(PATH, "c", is_encrypted=False, origin=ORIGIN).version == 4


def test_what_could_not_be_told_is_told_when_the_cache_is_back(rig: Rig) -> None:
    process = rig.process()
    process.create(PATH, "old", is_encrypted=False, origin=ORIGIN)
    rig.cache.failure = DOWN
    process.update(PATH, "new", origin=ORIGIN)
    rig.cache.failure = None
    assert rig.cache.value() == "old"
    process.retry_due()
    assert rig.cache.value() is None
    assert rig.process(deaf=True).read(PATH).value == "new"


def test_after_a_write_without_an_answer_nothing_is_believed(rig: Rig) -> None:
    process = rig.process()
    process.create(PATH, "old", is_encrypted=False, origin=ORIGIN)
    rig.store.answers = False
    with pytest.raises(UnavailableError):
        process.update(PATH, "new", origin=ORIGIN)
    assert rig.process(deaf=True).read(PATH).value == "new"


# -- secrets -----------------------------------------------------------------------------------------------------------


def canaries(rig: Rig) -> list[object]:
    return [document.value for document in rig.cache.ever if "canary" in str(document.value)]


def test_a_secret_never_reaches_the_shared_cache_however_it_is_written_or_read(rig: Rig) -> None:
    process = rig.process()
    process.create(PATH, "canary-1", is_encrypted=True, origin=ORIGIN)
    process.update(PATH, "canary-2", origin=ORIGIN)
    process.update(PATH, "canary-3", is_encrypted=False, origin=ORIGIN)
    process.rollback(PATH, 1, origin=ORIGIN)
    other = rig.process()
    other.read(PATH)
    other.read(PATH, fresh=True)
    other.read_service("development", "asr-service")
    other.on_event(Resync("test"))
    process.delete(PATH, origin=ORIGIN)
    process.create(PATH, "canary-4", is_encrypted=False, origin=ORIGIN)
    assert other.read(PATH).value == "canary-4"
    assert canaries(rig) == []


def test_before_a_value_becomes_secret_what_was_shared_of_it_is_gone(rig: Rig) -> None:
    process = rig.process()
    process.create(PATH, "v", is_encrypted=False, origin=ORIGIN)
    shared_when_written: list[object] = []
    rig.store.before_update = lambda: shared_when_written.append(rig.cache.value())
    process.update(PATH, "s", is_encrypted=True, origin=ORIGIN)
    assert shared_when_written == [None]


def test_no_slow_fill_can_bring_back_what_became_secret(rig: Rig) -> None:
    process = rig.process()
    documents = [process.create(PATH, "v1", is_encrypted=False, origin=ORIGIN)]
    documents += [process.update(PATH, f"v{number}", origin=ORIGIN) for number in (2, 3)]
    process.update(PATH, "s", is_encrypted=True, origin=ORIGIN)
    assert [rig.cache.put(document) for document in documents] == [False, False, False]


@pytest.mark.parametrize("failure", [DOWN, DENIED])
def test_a_value_does_not_become_secret_while_the_shared_cache_is_out_of_reach(rig: Rig, failure: BackendError) -> None:
    process = rig.process()
    process.create(PATH, "v", is_encrypted=False, origin=ORIGIN)
    rig.cache.failure = failure
    with pytest.raises(UnavailableError, match="becomes secret"):
        process.update(PATH, "s", is_encrypted=True, origin=ORIGIN)
    assert rig.backends.config.read(PATH).version == 1
    process.delete(PATH, origin=ORIGIN)
    with pytest.raises(UnavailableError, match="becomes secret"):
        process.create(PATH, "s", is_encrypted=True, origin=ORIGIN)
    rig.cache.failure = None
    assert process.create(PATH, "s", is_encrypted=True, origin=ORIGIN).is_encrypted


def test_what_was_never_in_the_clear_is_written_without_the_shared_cache(rig: Rig) -> None:
    rig.cache.failure = DOWN
    process = rig.process()
    process.create(PATH, "s1", is_encrypted=True, origin=ORIGIN)
    process.update(PATH, "s2", is_encrypted=True, origin=ORIGIN)
    process.update(PATH, "s3", origin=ORIGIN)
    assert process.rollback(PATH, 1, origin=ORIGIN).value == "s1"
    with pytest.raises(NotFoundError):
        process.update(replace(PATH, key="absent"), "s", is_encrypted=True, origin=ORIGIN)


def test_a_secret_that_somebody_else_made_is_sealed_by_whoever_reads_it(rig: Rig) -> None:
    process = rig.process(deaf=True)
    process.create(PATH, "v", is_encrypted=False, origin=ORIGIN)
    rig.backends.config.update(PATH, "s", is_encrypted=True, origin=ORIGIN)
    assert rig.cache.value() == "v"
    process.on_event(Resync("test"))
    eventually(lambda: rig.cache.value() is None)


# -- a store that went back --------------------------------------------------------------------------------------------


def test_where_the_store_went_back_the_shared_cache_follows(rig: Rig) -> None:
    process = rig.process(deaf=True)
    process.create(PATH, "v1", is_encrypted=False, origin=ORIGIN)
    for number in (2, 3):
        process.update(PATH, f"v{number}", origin=ORIGIN)
    restored = open_memory(threads=False)
    restored.config.create(PATH, "restored", is_encrypted=False, origin=ORIGIN)
    rig.store.inner = restored.config
    process.on_event(Resync("test"))
    assert process.read(PATH).value == "restored"
    assert rig.cache.value() == "restored"
    assert rig.process(deaf=True).read(PATH).value == "restored"
    restored.close()


# -- the rules themselves ----------------------------------------------------------------------------------------------


def document(version: int, *, deleted: bool = False) -> ConfigVersion:
    return ConfigVersion(PATH, version, None if deleted else version, False, False, AT, AT, deleted=deleted)


def test_an_answer_that_took_too_long_is_not_shared() -> None:
    """The barrier that would have kept it out may be gone by then: a process may sleep for longer than any entry lives."""
    now = [0.0]
    shared = Shared(cache := FailingCache(), clock=lambda: now[0])
    now[0] = FILL_SECONDS
    shared.fill(document(1), begun=0.0)
    assert cache.value() is None
    shared.fill(document(1), begun=0.5)
    assert cache.value() == 1


def test_what_was_heard_while_the_store_was_asked_counts_for_more_than_its_answer() -> None:
    now = [10.0]
    shared = Shared(cache := FailingCache(), clock=lambda: now[0])
    shared.heard(PATH, 5, deleted=False)
    shared.fill(document(4), begun=9.0)
    assert shared.find(PATH) is None
    cache.put(document(5))
    assert shared.find(PATH) == document(5)


def test_debts_are_forgotten_when_what_they_are_about_has_gone_by_itself() -> None:
    now = [0.0]
    shared = Shared(cache := FailingCache(), clock=lambda: now[0])
    cache.failure = DOWN
    shared.wrote(document(1))
    now[0] = OWED_SECONDS
    shared.settle()
    cache.failure = None
    shared.settle()
    assert cache.ever == []


def test_a_barrier_that_is_owed_lets_in_the_value_it_was_owed_for() -> None:
    shared = Shared(cache := FailingCache())
    cache.put(document(1))
    cache.failure = DOWN
    shared.wrote(document(2))
    cache.failure = None
    shared.settle()
    assert cache.value() is None
    assert cache.put(document(1)) is False
    assert cache.put(document(2)) is True
