"""Several processes' knowledge over one store and one real Redis: fills race against invalidations, and nothing stale stays."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import redis

from configkit.backends.memory import MemoryCache, open_memory
from configkit.backends.redis.shared import SharedRedis
from configkit.calls import Calls
from configkit.config.documents import Documents
from configkit.errors import NotFoundError
from configkit.models import ConfigPath, ConfigVersion, Origin
from configkit.ports import ConfigStore
from tests.unit.backends.redis.conftest import Open, address
from tests.waiting import eventually

ORIGIN = Origin("test")
RACES = 10_000
THREADS = 4


class HeldStore:
    """A real store whose reads wait, between their answer and their return, for the write that they race against."""

    def __init__(self, inner: ConfigStore) -> None:
        self.inner = inner
        self.answered: dict[ConfigPath, threading.Event] = {}
        self.go_on: dict[ConfigPath, threading.Event] = {}
        self.create, self.update, self.delete, self.rollback = inner.create, inner.update, inner.delete, inner.rollback
        self.list, self.history, self.read_service = inner.list, inner.history, inner.read_service

    def hold(self, path: ConfigPath) -> None:
        self.answered[path], self.go_on[path] = threading.Event(), threading.Event()

    def read(self, path: ConfigPath, version: int | None = None) -> ConfigVersion:
        try:
            return self.inner.read(path, version)
        finally:
            if (answered := self.answered.pop(path, None)) is not None:
                answered.set()
                assert self.go_on.pop(path).wait(10)


class Deployment:
    def __init__(self, shared: SharedRedis, stack: ExitStack) -> None:
        self.backends = open_memory(threads=False)
        stack.callback(self.backends.close)
        self.calls = Calls(workers=2 * THREADS)
        stack.callback(self.calls.close)
        self.shared = shared
        self.store = HeldStore(self.backends.config)

    def process(self, store: object = None, *, subscribed: bool = True) -> Documents:
        documents = Documents(
            store or self.backends.config,  # type: ignore[arg-type]
            MemoryCache(),
            self.calls,
            environments=frozenset({"development"}),
            shared=self.shared.documents,
        )
        if subscribed:
            self.backends.bus.subscribe(documents.on_event)
        return documents


@pytest.fixture
def deployment(opened: Open, env: dict[str, str]) -> Iterator[Deployment]:
    shared = opened(address(env), deadline=5.0)  # what is raced for is the order, on a machine however busy
    with ExitStack() as stack:
        yield Deployment(shared, stack)
    shared.documents.clear()


def value(documents: Documents, path: ConfigPath, *, fresh: bool = False) -> object:
    try:
        return documents.read(path, fresh=fresh).value
    except NotFoundError:
        return None


@pytest.mark.timeout(240)
def test_ten_thousand_races_of_a_fill_against_an_invalidation_leave_nothing_stale(deployment: Deployment) -> None:
    """
    In each race a reader has the old answer of the store in its hand while a writer changes or deletes the value; then the
    reader's fill and the writer's invalidation reach Redis in either order, or at once.
    """
    reader, writer, bystander = deployment.process(deployment.store), deployment.process(), deployment.process()
    stale: list[ConfigPath] = []
    sooner = {"fill": 0, "write": 0}

    def race(path: ConfigPath, chance: random.Random) -> None:
        current = writer.create(path, "old", is_encrypted=False, origin=ORIGIN)
        if chance.random() < 0.5:
            deployment.shared.documents._entries.drop(str(path))  # evicted
        deployment.store.hold(path)
        answered, go_on = deployment.store.answered[path], deployment.store.go_on[path]
        filling = threading.Thread(target=value, args=(reader, path), kwargs={"fresh": True})
        filling.start()
        assert answered.wait(10)
        deletes, fill_first = chance.random() < 0.3, chance.random() < 0.5
        sooner["fill" if fill_first else "write"] += 1
        if fill_first:
            go_on.set()
        if deletes:
            writer.delete(path, origin=ORIGIN)
        else:
            current = writer.update(path, f"new of {current.version}", origin=ORIGIN)
        go_on.set()
        filling.join(10)
        truth = None if deletes else current.value
        cold = deployment.process(subscribed=False)
        if value(cold, path) != truth or value(writer, path) != truth:
            stale.append(path)
        eventually(lambda: value(reader, path) == value(bystander, path) == truth, every=0.0005)
        there = deployment.shared.documents.get(path)
        if there is not None and not there.deleted and there.value != truth:
            stale.append(path)

    def many(thread: int) -> None:
        chance = random.Random(thread)
        for number in range(RACES // THREADS):
            race(ConfigPath("development", f"svc-{thread}", f"k{number}"), chance)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(many, range(THREADS)))
    assert stale == []
    assert sum(sooner.values()) == RACES
    assert min(sooner.values()) > RACES / 4


@pytest.mark.parametrize("eviction", ["flushed", "one key gone"])
def test_what_redis_has_forgotten_is_a_miss_and_is_shared_again(deployment: Deployment, eviction: str) -> None:
    path = ConfigPath("development", "asr", "model_path")
    deployment.process().create(path, "v", is_encrypted=False, origin=ORIGIN)
    if eviction == "flushed":
        deployment.shared.documents.clear()
    else:
        deployment.shared.documents._entries.drop(str(path))
    assert deployment.process().read(path).value == "v"
    there = deployment.shared.documents.get(path)
    assert there is not None
    assert there.value == "v"


def test_no_key_and_no_value_of_redis_ever_holds_a_secret(deployment: Deployment, raw: redis.Redis) -> None:
    one, other = deployment.process(), deployment.process()
    plain = ConfigPath("development", "asr", "plain")
    path = ConfigPath("development", "asr", "password")
    one.create(plain, "canary-plain", is_encrypted=False, origin=ORIGIN)
    one.create(path, "canary-0", is_encrypted=False, origin=ORIGIN)
    one.update(path, "canary-1", is_encrypted=True, origin=ORIGIN, comment="canary-2")
    for documents in (one, other):
        documents.read(path, fresh=True)
        documents.read_service("development", "asr")
    one.update(path, "canary-3", is_encrypted=False, origin=ORIGIN)
    one.rollback(path, 2, origin=ORIGIN)
    prefix = deployment.shared.documents._entries._prefix
    contents = "\n".join(f"{key!r} {raw.get(key)!r}" for key in raw.scan_iter(match=f"{prefix}*", count=1000))
    assert "canary-plain" in contents
    assert "canary-" not in contents.replace("canary-plain", "")


def test_a_wrong_password_costs_speed_and_no_error(deployment: Deployment, opened: Open, env: dict[str, str]) -> None:
    deployment.shared = opened(address(env, password="wrong"))
    one, other = deployment.process(), deployment.process()
    path = ConfigPath("development", "asr", "model_path")
    one.create(path, "a", is_encrypted=False, origin=ORIGIN)
    assert other.read(path).value == "a"
    one.update(path, "b", origin=ORIGIN)
    eventually(lambda: other.read(path).value == "b")
