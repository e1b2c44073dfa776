"""
The backends that the suite runs on, and which ports each of them has.

A backend is here or it is not: there is no way to leave out a case.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from configkit.backends.kafka import Address as Brokers
from configkit.backends.memory import MemoryBlobs, MemoryCache, open_memory
from configkit.backends.redis import Address
from configkit.ports import Backends, BlobCache, Cache
from tests import services
from tests.conformance import fresh
from tests.conformance.registries import on_zookeeper, with_records
from tests.databases import fresh_schema

if TYPE_CHECKING:
    from configkit.backends.redis.link import Link
    from configkit.backends.redis.shared import SharedRedis


@dataclass(frozen=True)
class Deployment:
    """
    One deployment and two clients of it, as independent of each other as the backend allows.

    Attributes:
        known_as: Who the deployment says made a change, where it goes by credentials; None: whom the `Origin` names.
    """

    backend: str
    one: Backends
    other: Backends
    known_as: str | None = None


@contextmanager
def memory(folder: Path) -> Iterator[Deployment]:
    with _open(open_memory) as backends:
        yield Deployment("memory", backends, backends)


@contextmanager
def sqlite(folder: Path) -> Iterator[Deployment]:
    from configkit.backends.sql import open_sqlite

    key = "conformance" * 4
    path = str(folder / "configkit.db")
    with _open(lambda: open_sqlite(path, master_key=key)) as one, _open(lambda: open_sqlite(path, master_key=key)) as other:
        yield Deployment("sqlite", one, other)


@contextmanager
def postgres(folder: Path) -> Iterator[Deployment]:
    """In a schema of its own; configuration lies in the tables of the embedded mode, as nothing else here is durable."""
    with fresh_schema(services.need("postgres")["DATABASE_URL"]) as schema:  # noqa: SIM117
        with _open(lambda: _postgres(schema)) as one, _open(lambda: _postgres(schema)) as other:
            yield Deployment("postgres", one, other)


def _postgres(schema: str) -> Backends:
    from configkit.backends.sql import open_postgres
    from configkit.backends.sql.config import SqlConfigStore
    from configkit.backends.sql.encryption import Cipher, derive
    from configkit.backends.sql.schema import meta

    pieces = open_postgres(services.need("postgres")["DATABASE_URL"], migrate=True, role="server", schema=schema)
    key = derive("conformance" * 4, b"salt")
    with pieces.database.writing("name the key", "key") as connection:
        if not connection.execute(select(meta).where(meta.c.name == "key_id")).first():
            connection.execute(insert(meta).values(name="key_id", value=key.id))
    return Backends(
        mode="direct",
        config=SqlConfigStore(pieces.database, Cipher(key, lambda _: None)),
        flags=pieces.flags,
        registry=pieces.registry,
        bus=pieces.bus,
        close=pieces.close,
        after_fork=pieces.after_fork,
        ping={"database": pieces.ping},
        records=pieces.records,
        tokens=pieces.tokens,
        idempotency=pieces.idempotency,
        journal=pieces.journal,
        changes=pieces.changes,
    )


@contextmanager
def http(folder: Path) -> Iterator[Deployment]:
    """Over the real server on a free port of loopback, which runs on a deployment in memory."""
    from configkit.backends.http import open_http
    from configkit.client import ConfigKit
    from configkit_server import TokenAuth, create_app
    from configkit_server.serving import serving

    with ConfigKit(open_memory()) as kit, serving(create_app(kit, auth=TokenAuth(kit.backends.tokens))) as url:  # noqa: SIM117
        with _open(lambda: open_http(url)) as one, _open(lambda: open_http(url)) as other:
            yield Deployment("http", one, other, known_as="loopback")


@contextmanager
def kafka(folder: Path) -> Iterator[Deployment]:
    """Stores in memory, whose changes are announced on a topic of their own, which each client reads by itself."""
    from dataclasses import replace

    from configkit.backends.kafka import open_kafka
    from configkit.backends.memory import MemoryConfigStore, MemoryFlagStore, MemoryJournal, MemoryRegistry

    brokers, topic = Brokers(services.need("kafka")["KAFKA_BOOTSTRAP_SERVERS"]), fresh.name("conformance")
    with ExitStack() as stack:
        stack.callback(_remove, brokers, topic)
        one, other = (open_kafka(brokers, topic=topic) for _ in range(2))
        stack.callback(other.close)
        stack.callback(one.close)
        journal = MemoryJournal(lambda event: one.publisher.publish([event]))
        stores = replace(
            stack.enter_context(_open(open_memory)),
            config=MemoryConfigStore(journal),
            flags=MemoryFlagStore(journal),
            registry=MemoryRegistry(journal),
        )
        yield Deployment("kafka", replace(stores, bus=one.bus), replace(stores, bus=other.bus))


def at_hand(*servers: str) -> bool:
    """Whether backends on these servers are in the suite: the servers were started, or must have been (``CI=true``)."""
    return os.environ.get("CI") == "true" or all(services.env().get(services.LEADS_TO[name]) for name in servers)


def _remove(brokers: Brokers, topic: str) -> None:
    from configkit.backends.kafka import driver

    arguments = driver.options(brokers, seconds=5.0)
    with driver.making(arguments):
        admin = driver.KafkaAdminClient(**arguments)
    with closing(admin), suppress(driver.kafka_errors.UnknownTopicOrPartitionError):
        admin.delete_topics([topic])


@contextmanager
def redis(folder: Path) -> Iterator[Deployment]:
    """Stores in memory, each client's with the caches in Redis before it."""
    from dataclasses import replace

    from configkit.config.shared import Shared
    from configkit.config.sharing import SharingStore
    from configkit.flags.shared import SharedFlagStore

    caches = redis_caches()
    with _open(open_memory) as stores:
        one, other = (
            replace(
                stores,
                config=SharingStore(stores.config, Shared(caches.documents)),
                flags=SharedFlagStore(stores.flags, caches.blobs),
                shared=caches.documents,
            )
            for _ in range(2)
        )
        yield Deployment("redis", one, other)


def redis_caches() -> SharedRedis:
    """Return caches in the shared Redis that nobody else uses."""
    from configkit.backends.redis.shared import SharedRedis

    return SharedRedis.on(_redis_link(), fresh.name("conformance"))


@cache
def _redis_link() -> Link:
    from configkit.backends.redis.link import Link

    env = services.need("redis")
    return Link(Address(env["REDIS_HOST"], int(env["REDIS_PORT"]), password=env["REDIS_PASSWORD"]), deadline=2.0)


@contextmanager
def zookeeper(folder: Path) -> Iterator[Deployment]:
    with on_zookeeper(2) as (one, other):
        yield Deployment("zookeeper", one, other)


@contextmanager
def vault(folder: Path) -> Iterator[Deployment]:
    """Two logins of an AppRole, on an engine of its own; what else a deployment has lies in memory."""
    from tests.vaults import fresh_mount

    with fresh_mount() as mount, ExitStack() as stack:
        stores = [stack.enter_context(closing(mount.open())) for _ in range(2)]
        one, other = (replace(stack.enter_context(_open(open_memory)), mode="vault", config=store) for store in stores)
        yield Deployment("vault", one, other)


@contextmanager
def holder(folder: Path) -> Iterator[Deployment]:
    """Servers, which keep records and hold nodes for whoever has no session."""
    with with_records(folder) as (one, other):
        yield Deployment("holder", one, other)


@contextmanager
def _open(opener: Callable[[], Backends]) -> Iterator[Backends]:
    backends = opener()
    try:
        yield backends
    finally:
        backends.close()


OPENERS: dict[str, Callable[[Path], AbstractContextManager[Deployment]]] = {"memory": memory, "sqlite": sqlite, "http": http}
if at_hand("postgres"):
    OPENERS["postgres"] = postgres
if at_hand("zookeeper"):
    OPENERS["zookeeper"] = zookeeper
    OPENERS["holder"] = holder
if at_hand("kafka"):
    OPENERS["kafka"] = kafka
if at_hand("vault"):
    OPENERS["vault"] = vault

CACHES: dict[str, Callable[[], Cache]] = {"memory": MemoryCache}
BLOBS: dict[str, Callable[[], BlobCache]] = {"memory": MemoryBlobs}
if at_hand("redis"):
    OPENERS["redis"] = redis
    CACHES["redis"] = lambda: redis_caches().documents
    BLOBS["redis"] = lambda: redis_caches().blobs

_POSTGRES = ("postgres",) if "postgres" in OPENERS else ()
_ZOOKEEPER = ("zookeeper", "holder") if "zookeeper" in OPENERS else ()
_HOLDER = _ZOOKEEPER[1:]
_VAULT = ("vault",) if "vault" in OPENERS else ()
_REDIS = ("redis",) if "redis" in OPENERS else ()
_KAFKA = ("kafka",) if "kafka" in OPENERS else ()

PORTS: dict[str, tuple[str, ...]] = {
    "config": ("memory", "sqlite", "http", *_POSTGRES, *_VAULT, *_REDIS),
    "flags": ("memory", "sqlite", "http", *_POSTGRES, *_REDIS),
    "registry": ("memory", "sqlite", "http", *_POSTGRES, *_ZOOKEEPER),
    "bus": ("memory", "sqlite", "http", *_POSTGRES, *_KAFKA),
    "records": ("memory", "sqlite", *_POSTGRES, *_HOLDER),
    "tokens": ("memory", "sqlite", *_POSTGRES),
    "idempotency": ("memory", "sqlite", *_POSTGRES),
    "journal": ("memory", "sqlite", *_POSTGRES),
    "changes": ("memory", "sqlite", *_POSTGRES),
    "cache": tuple(CACHES),
    "blobs": tuple(BLOBS),
}
