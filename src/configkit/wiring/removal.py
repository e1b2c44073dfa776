"""Removing a whole deployment of the direct mode from the systems that it is in: for demonstrations and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from configkit.errors import ConfigKitError
from configkit.models import ConfigPath
from configkit.wiring import direct

if TYPE_CHECKING:
    from configkit.settings import Settings


def remove_deployment(settings: Settings, paths: Sequence[ConfigPath]) -> list[str]:
    """
    Remove the configuration at *paths* with its history, and all of the schema, the namespace, the topic and the base path.

    Returns what could not be removed, in words; everything else is gone.
    """
    left: list[str] = []
    steps: list[tuple[str, Callable[[], Iterable[str]]]] = [
        ("the secrets in Vault", lambda: _from_vault(settings, paths)),
        (f"the topic {settings.kafka_topic_config_updates}", lambda: _from_kafka(settings)),
        (f"the nodes under {settings.zookeeper_base_path}", lambda: _from_zookeeper(settings)),
        (f"the keys of {settings.redis_namespace} in Redis", lambda: _from_redis(settings)),
        (f"the schema {settings.database_schema}", lambda: _from_postgres(settings)),
    ]
    for what, step in steps:
        try:
            left.extend(step())
        except ConfigKitError as error:
            left.append(f"{what} ({error})")
    return left


def kept_in_redis(settings: Settings) -> list[bytes]:
    """Return every key and every content under the deployment's namespace in Redis."""
    from configkit.backends.redis.namespace import contents  # noqa: PLC0415  only where it is configured

    shared = direct.redis_of(settings)
    if shared is None:
        return []
    try:
        return contents(shared.link, settings.redis_namespace)
    finally:
        shared.close()


def _from_vault(settings: Settings, paths: Sequence[ConfigPath]) -> Iterable[str]:
    from configkit.backends.vault.removing import remove  # noqa: PLC0415  the mode needs it

    store = direct.vault_of(settings)
    try:
        kept = remove(store, paths)
    finally:
        store.close()
    if kept:
        yield f"the history of {', '.join(str(path) for path in kept)}: deleted, and the policy keeps what was"


def _from_kafka(settings: Settings) -> Iterable[str]:
    if settings.kafka_bootstrap_servers:
        from configkit.backends.kafka.topic import remove  # noqa: PLC0415  only where it is configured

        remove(direct.brokers_of(settings), settings.kafka_topic_config_updates, seconds=settings.deadline)
    return ()


def _from_zookeeper(settings: Settings) -> Iterable[str]:
    registry = direct.zookeeper_of(settings, serves=False)
    if registry is not None:
        try:
            registry.tree.remove_all()
        finally:
            registry.close()
    return ()


def _from_redis(settings: Settings) -> Iterable[str]:
    shared = direct.redis_of(settings)
    if shared is not None:
        from configkit.backends.redis.namespace import remove  # noqa: PLC0415  only where it is configured

        try:
            remove(shared.link, settings.redis_namespace)
        finally:
            shared.close()
    return ()


def _from_postgres(settings: Settings) -> Iterable[str]:
    from configkit.backends.sql import drop_postgres  # noqa: PLC0415  the mode needs it

    if settings.database_url is not None:
        drop_postgres(settings.database_url, deadline=settings.deadline, schema=settings.database_schema)
    return ()
