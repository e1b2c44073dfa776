"""The direct mode: Vault and PostgreSQL, with Redis, Kafka and ZooKeeper where they are configured."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Protocol

from configkit.config.journaled import JournaledStore
from configkit.errors import InvalidDocumentError
from configkit.models import RegistryChanged, utcnow
from configkit.outbox import Outbox
from configkit.ports import Backends, EventBus, RegistryRecords, ServiceRegistryClient
from configkit.registry.journaled import JournaledRegistry
from configkit.wiring.buses import MergedBus, WatchBus

if TYPE_CHECKING:
    from pydantic import SecretStr

    from configkit.backends.kafka import Address
    from configkit.backends.kafka.events import KafkaEvents
    from configkit.backends.redis.shared import SharedRedis
    from configkit.backends.sql.postgres.opening import PostgresPieces
    from configkit.backends.vault.config import VaultConfigStore
    from configkit.backends.vault.kv1 import VaultKv1ConfigStore
    from configkit.backends.zookeeper.registry import ZooKeeperRegistry
    from configkit.settings import Settings

READBACK_KEYS_PER_SECOND = 20.0
"""How quickly known keys are read back from Vault, to find what others wrote straight into it."""


class _Owned(Protocol):
    """Something with threads or connections, which ends with the client."""

    @property
    def close(self) -> Callable[[], None]:
        """Ends them."""

    @property
    def after_fork(self) -> Callable[[], None]:
        """Begins anew in a forked child."""


@dataclass
class _Parts:
    vault: VaultConfigStore | VaultKv1ConfigStore
    sql: PostgresPieces
    redis: SharedRedis | None
    kafka: KafkaEvents | None
    zookeeper: ZooKeeperRegistry | None


def open_direct(settings: Settings, *, serves: bool) -> Backends:
    """
    Return the backends of the direct mode; none of them needs to be up yet.

    Args:
        serves: This process is a server: it migrates the tables, announces what others left behind, and holds the
            registry nodes of what registered over REST.

    Raises:
        InvalidDocumentError: A setting is missing or wrong.
        MissingExtraError: A configured system needs an optional dependency.
        AccessDeniedError: PostgreSQL refused the credentials.
    """
    require(settings)
    with ExitStack() as undo:
        parts = _open(settings, serves=serves, undo=undo)
        backends = _assemble(settings, parts, serves=serves)
        undo.pop_all()
    return backends


def require(settings: Settings) -> None:
    """Raise `InvalidDocumentError` unless both systems are configured that the direct mode cannot do without."""
    for name, given in (("VAULT_ADDR", settings.vault_addr), ("DATABASE_URL", settings.database_url)):
        if not given:
            raise InvalidDocumentError("the direct mode needs Vault and PostgreSQL; set it", pointer=f"/{name}")


def _open(settings: Settings, *, serves: bool, undo: ExitStack) -> _Parts:
    vault = vault_of(settings)
    undo.callback(vault.close)
    redis = redis_of(settings)
    kafka = kafka_of(settings)
    zookeeper = zookeeper_of(settings, serves=serves)
    for part in (redis, kafka, zookeeper):
        if part is not None:
            undo.callback(part.close)
    sql = postgres_of(settings, serves=serves, listens=kafka is None)
    undo.callback(sql.close)
    return _Parts(vault, sql, redis, kafka, zookeeper)


def _assemble(settings: Settings, parts: _Parts, *, serves: bool) -> Backends:
    sql, kafka, redis = parts.sql, parts.kafka, parts.redis
    outbox = Outbox(sql.changes, parts.vault, None if kafka is None else kafka.publisher, deadline=settings.deadline)
    sql.database.attach(outbox)
    registry, records, nodes = _registry(parts, serves=serves)
    bus = MergedBus(_buses(parts))
    if serves:
        outbox.start()
    owned: list[_Owned] = [part for part in (bus, outbox, nodes, kafka, redis, parts.vault, sql) if part is not None]
    return Backends(
        mode="direct",
        config=JournaledStore(parts.vault, sql.changes),
        flags=sql.flags,
        registry=registry,
        bus=bus,
        close=lambda: _each(part.close for part in owned),
        after_fork=lambda: _each(part.after_fork for part in owned),
        ping=_pings(parts),
        optional=frozenset({"redis", "kafka", "zookeeper"}),
        records=records,
        tokens=sql.tokens,
        idempotency=sql.idempotency,
        journal=sql.journal,
        changes=sql.changes,
        shared=None if redis is None else redis.documents,
        blobs=None if redis is None else redis.blobs,
        readback=READBACK_KEYS_PER_SECOND,
    )


def _registry(parts: _Parts, *, serves: bool) -> tuple[ServiceRegistryClient, RegistryRecords, _Owned | None]:
    """Return who is asked for instances, who keeps what checks find, and what of it has threads of its own."""
    if parts.zookeeper is None:
        return parts.sql.registry, parts.sql.records, None
    if not serves:
        return JournaledRegistry(parts.zookeeper, parts.sql.journal), parts.zookeeper, parts.zookeeper
    from configkit.backends.zookeeper.holder import Holder  # noqa: PLC0415  only servers hold nodes for others

    holder = Holder(parts.zookeeper, parts.sql.registry, parts.sql.records, parts.sql.registry.living)
    return holder, holder, holder


def _buses(parts: _Parts) -> Mapping[str, EventBus]:
    buses: dict[str, EventBus] = {"the journal": parts.sql.bus}
    if parts.kafka is not None:
        buses["Kafka"] = parts.kafka.bus
    if parts.zookeeper is not None:
        buses["ZooKeeper"] = WatchBus(
            parts.zookeeper.listen, lambda name: RegistryChanged(f"zk-{uuid.uuid4().hex}", name, utcnow())
        )
    return buses


def _pings(parts: _Parts) -> dict[str, Callable[[], None]]:
    pings: dict[str, Callable[[], None]] = {"vault": parts.vault.ping, "postgres": parts.sql.ping}
    for name, part in (("redis", parts.redis), ("kafka", parts.kafka), ("zookeeper", parts.zookeeper)):
        if part is not None:
            pings[name] = part.ping
    return pings


def postgres_of(settings: Settings, *, serves: bool, listens: bool) -> PostgresPieces:
    """Return what lies in PostgreSQL, its tables migrated for a server."""
    from configkit.backends.sql import open_postgres  # noqa: PLC0415  only this mode needs it

    return open_postgres(
        _shown(settings.database_url) or "",
        deadline=settings.deadline,
        migrate=serves,
        role="server" if serves else "library",
        schema=settings.database_schema,
        listens=listens,
    )


def vault_of(settings: Settings) -> VaultConfigStore | VaultKv1ConfigStore:
    """Return the store in Vault."""
    from configkit.backends.vault import open_vault  # noqa: PLC0415  only this mode needs it

    return open_vault(
        settings.vault_addr or "",
        token=_shown(settings.vault_token),
        role_id=settings.vault_role_id,
        secret_id=_shown(settings.vault_secret_id),
        k8s_role=settings.vault_k8s_role,
        k8s_token_file=settings.vault_k8s_token_file,
        auth_mount=settings.vault_auth_mount,
        mount=settings.vault_mount_point,
        kv_version=settings.vault_kv_version,
        namespace=settings.vault_namespace,
        ca_cert=settings.vault_cacert,
        client_cert=settings.vault_client_cert,
        client_key=settings.vault_client_key,
        environments=settings.supported_environments,
        deadline=settings.deadline,
    )


def redis_of(settings: Settings) -> SharedRedis | None:
    """Return the caches in Redis; None: it is not configured."""
    if not settings.redis_host:
        return None
    from configkit.backends.redis import Address, Tls, open_redis  # noqa: PLC0415  only where it is configured

    tls = Tls(settings.redis_ssl_cafile, settings.redis_ssl_certfile, settings.redis_ssl_keyfile) if settings.redis_ssl else None
    address = Address(
        settings.redis_host,
        settings.redis_port,
        username=settings.redis_username,
        password=_shown(settings.redis_password),
        database=settings.redis_db,
        tls=tls,
    )
    return open_redis(address, namespace=settings.redis_namespace)


def kafka_of(settings: Settings) -> KafkaEvents | None:
    """Return the events on Kafka; None: it is not configured."""
    if not settings.kafka_bootstrap_servers:
        return None
    from configkit.backends.kafka import open_kafka  # noqa: PLC0415  only where it is configured

    return open_kafka(brokers_of(settings), topic=settings.kafka_topic_config_updates, deadline=settings.deadline)


def brokers_of(settings: Settings) -> Address:
    """Return how Kafka is reached."""
    from configkit.backends.kafka import Address  # noqa: PLC0415  only where it is configured

    return Address(
        settings.kafka_bootstrap_servers or "",
        protocol=settings.kafka_security_protocol,
        mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_sasl_username,
        password=_shown(settings.kafka_sasl_password),
        ca_file=settings.kafka_ssl_cafile,
        certificate_file=settings.kafka_ssl_certfile,
        key_file=settings.kafka_ssl_keyfile,
    )


def zookeeper_of(settings: Settings, *, serves: bool) -> ZooKeeperRegistry | None:
    """Return the registry in ZooKeeper; None: it is not configured, or the registry is switched off."""
    if not settings.zookeeper_hosts or not settings.service_registry_enabled:
        return None
    from configkit.backends.zookeeper import SERVER_SESSION_SECONDS, Security, open_zookeeper  # noqa: PLC0415  only where it is configured

    security = Security(
        tls=settings.zookeeper_tls,
        ca=settings.zookeeper_ca_cert,
        certificate=settings.zookeeper_client_cert,
        key=settings.zookeeper_client_key,
        key_password=_shown(settings.zookeeper_client_key_password),
        username=settings.zookeeper_username,
        password=_shown(settings.zookeeper_password),
        sasl=settings.zookeeper_sasl_mechanism,
        acl=settings.zookeeper_acl,
    )
    return open_zookeeper(
        settings.zookeeper_hosts,
        settings.zookeeper_base_path,
        connection_timeout=settings.zookeeper_connection_timeout,
        session_timeout=min(settings.zookeeper_session_timeout, SERVER_SESSION_SECONDS if serves else inf),
        deadline=settings.deadline,
        security=security,
        payload_class=settings.zookeeper_payload_class,
    )


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _each(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()
