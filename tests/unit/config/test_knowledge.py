"""Coherence of the process's memory, with a store whose answers the test lets go one by one."""

import random
import threading
from collections.abc import Iterator

import pytest

from configkit.backends.memory import MemoryCache, open_memory
from configkit.calls import Calls
from configkit.config.knowledge import Knowledge
from configkit.errors import NotFoundError, UnavailableError
from configkit.models import ConfigChanged, ConfigPath, ConfigVersion, Origin, Resync, utcnow
from configkit.ports import ConfigStore
from tests.waiting import eventually

ORIGIN = Origin("test")
PATH = ConfigPath("development", "asr-service", "model_path")


class SlowStore:
    """A real store of which a read can be held between its answer and its return, or be made to fail."""

    def __init__(self, inner: ConfigStore) -> None:
        self.inner = inner
        self.reads = 0
        self.down = False
        self.hold = False
        self.held = threading.Event()
        self.release = threading.Event()

    def read(self, path: ConfigPath, version: int | None = None) -> ConfigVersion:
        self.reads += 1
        if self.down:
            raise UnavailableError("down", backend="test", operation="read")
        try:
            return self.inner.read(path, version)
        finally:
            if self.hold:
                self.hold = False
                self.held.set()
                assert self.release.wait(5)

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        self.reads += 1
        if self.down:
            raise UnavailableError("down", backend="test", operation="read")
        return self.inner.read_service(environment, service_name)


class Rig:
    def __init__(self) -> None:
        self.backends = open_memory(threads=False)
        self.store = SlowStore(self.backends.config)
        self.calls = Calls(workers=8, deadline=5)
        self.knowledge = Knowledge(self.store, MemoryCache(), self.calls)  # type: ignore[arg-type]

    def value(self, path: ConfigPath = PATH) -> object:
        document = self.knowledge.peek(path)
        return None if document is None else document.value

    def changed(self, document: ConfigVersion) -> ConfigChanged:
        return ConfigChanged("e", document.path, document.version, document.deleted, utcnow())


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.store.release.set()
    rig.calls.close()
    rig.backends.close()


def test_a_slow_fill_cannot_undo_an_invalidation(rig: Rig) -> None:
    rig.backends.config.create(PATH, "old", is_encrypted=False, origin=ORIGIN)
    rig.store.hold = True
    slow = rig.calls.submit(rig.knowledge.fetch, PATH)
    assert rig.store.held.wait(5)
    newer = rig.backends.config.update(PATH, "new", origin=ORIGIN)
    rig.knowledge.on_event(rig.changed(newer))
    rig.store.release.set()
    assert slow.result(5).value == "new"
    assert eventually(lambda: rig.value() == "new")


def test_a_slow_fill_cannot_undo_a_deletion(rig: Rig) -> None:
    rig.backends.config.create(PATH, "old", is_encrypted=False, origin=ORIGIN)
    rig.store.hold = True
    slow = rig.calls.submit(rig.knowledge.fetch, PATH)
    assert rig.store.held.wait(5)
    rig.backends.config.delete(PATH, origin=ORIGIN)
    rig.knowledge.on_event(ConfigChanged("e", PATH, 1, deleted=True, at=utcnow()))
    rig.store.release.set()
    assert slow.result(5).deleted
    document = rig.knowledge.peek(PATH)
    assert document is not None
    assert document.deleted


def test_a_slow_absence_cannot_undo_a_creation(rig: Rig) -> None:
    rig.store.hold = True
    slow = rig.calls.submit(rig.knowledge.fetch, PATH)
    assert rig.store.held.wait(5)
    rig.knowledge.on_event(rig.changed(rig.backends.config.create(PATH, "new", is_encrypted=False, origin=ORIGIN)))
    rig.store.release.set()
    assert slow.result(5).value == "new"
    assert eventually(lambda: rig.value() == "new")


def test_many_who_ask_at_once_cost_one_read(rig: Rig) -> None:
    rig.backends.config.create(PATH, "v", is_encrypted=False, origin=ORIGIN)
    rig.store.hold = True
    futures = [rig.calls.submit(rig.knowledge.fetch, PATH) for _ in range(4)]
    assert rig.store.held.wait(5)
    rig.store.release.set()
    assert {future.result(5).value for future in futures} == {"v"}
    assert rig.store.reads <= 2


def test_duplicate_and_old_events_cost_no_read(rig: Rig) -> None:
    first = rig.backends.config.create(PATH, "1", is_encrypted=False, origin=ORIGIN)
    second = rig.backends.config.update(PATH, "2", origin=ORIGIN)
    rig.knowledge.fetch(PATH)
    before = rig.store.reads
    for document in (first, second, second, first):
        rig.knowledge.on_event(rig.changed(document))
    assert rig.store.reads == before
    assert rig.value() == "2"


def test_an_event_about_what_nobody_asked_for_costs_no_read(rig: Rig) -> None:
    rig.knowledge.on_event(rig.changed(rig.backends.config.create(PATH, "1", is_encrypted=False, origin=ORIGIN)))
    assert rig.store.reads == 0
    assert rig.knowledge.peek(PATH) is None


def test_absence_is_known_and_a_creation_clears_it(rig: Rig) -> None:
    assert rig.knowledge.fetch(PATH).version == 0
    known = rig.knowledge.peek(PATH)
    assert known is not None
    assert known.deleted
    rig.knowledge.on_event(rig.changed(rig.backends.config.create(PATH, "1", is_encrypted=False, origin=ORIGIN)))
    assert eventually(lambda: rig.value() == "1")


def test_an_error_is_never_taken_for_absence(rig: Rig) -> None:
    rig.store.down = True
    with pytest.raises(UnavailableError):
        rig.knowledge.fetch(PATH)
    assert rig.knowledge.peek(PATH) is None


def test_what_is_known_outlives_the_store_and_heals_with_it(rig: Rig) -> None:
    rig.backends.config.create(PATH, "1", is_encrypted=False, origin=ORIGIN)
    rig.knowledge.fetch(PATH)
    rig.store.down = True
    rig.knowledge.on_event(rig.changed(rig.backends.config.update(PATH, "2", origin=ORIGIN)))
    assert eventually(lambda: rig.knowledge.stale)
    assert rig.value() == "1"
    rig.store.down = False

    def healed() -> bool:
        rig.knowledge.retry_due()
        return rig.value() == "2" and not rig.knowledge.stale

    assert eventually(healed)


def test_a_resynchronisation_finds_changes_deletions_and_new_keys_of_known_services(rig: Rig) -> None:
    paths = [ConfigPath("development", "asr-service", f"k{i}") for i in range(20)]
    for path in paths:
        rig.backends.config.create(path, "old", is_encrypted=False, origin=ORIGIN)
    rig.knowledge.load_service("development", "asr-service")
    rig.backends.config.update(paths[0], "new", origin=ORIGIN)
    rig.backends.config.delete(paths[1], origin=ORIGIN)
    rig.backends.config.create(PATH, "added", is_encrypted=False, origin=ORIGIN)
    rig.knowledge.on_event(Resync("gap"))
    assert eventually(lambda: (rig.value(paths[0]), rig.value(paths[1]), rig.value()) == ("new", None, "added"))
    assert rig.store.reads < 10


def test_a_restored_backup_with_lower_versions_is_believed_after_a_resynchronisation(rig: Rig) -> None:
    rig.backends.config.create(PATH, "1", is_encrypted=False, origin=ORIGIN)
    rig.backends.config.update(PATH, "2", origin=ORIGIN)
    rig.knowledge.fetch(PATH)
    restored = open_memory(threads=False)
    restored.config.create(PATH, "restored", is_encrypted=False, origin=ORIGIN)
    rig.store.inner = restored.config
    rig.knowledge.on_event(Resync("restored"))
    assert eventually(lambda: rig.value() == "restored")


def test_listeners_run_outside_the_lock_and_one_that_fails_harms_nobody(rig: Rig) -> None:
    seen: list[int] = []

    def other_thread_can_read(document: ConfigVersion) -> None:
        assert rig.calls.run(rig.knowledge.fetch, PATH).version >= document.version

    def fails(document: ConfigVersion) -> None:
        raise RuntimeError("listener")

    rig.knowledge.listen(fails)
    rig.knowledge.listen(other_thread_can_read)
    rig.knowledge.listen(lambda document: seen.append(document.version))
    rig.knowledge.keep(rig.backends.config.create(PATH, "1", is_encrypted=False, origin=ORIGIN))
    assert seen == [1]


def test_ten_thousand_races_of_fill_against_invalidation_leave_nothing_stale(rig: Rig) -> None:
    paths = [ConfigPath("development", "asr-service", f"k{i}") for i in range(100)]
    for path in paths:
        rig.backends.config.create(path, 0, is_encrypted=False, origin=ORIGIN)
    chance = random.Random(7)

    def write(part: list[ConfigPath]) -> None:
        for _ in range(2500 // len(part)):
            for path in part:
                rig.knowledge.on_event(rig.changed(rig.backends.config.update(path, chance.random(), origin=ORIGIN)))

    def fill() -> None:
        for _ in range(5000):
            try:
                rig.knowledge.load(chance.choice(paths))
            except NotFoundError:  # pragma: no cover
                raise AssertionError from None

    threads = [threading.Thread(target=write, args=(paths[i::4],)) for i in range(4)]
    threads += [threading.Thread(target=fill) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    def settled() -> bool:
        rig.knowledge.retry_due()
        return all(rig.value(path) in (None, rig.backends.config.read(path).value) for path in paths)

    assert eventually(settled, timeout=10)
    assert sum(rig.value(path) is not None for path in paths) == len(paths)
