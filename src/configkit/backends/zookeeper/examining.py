"""A closer look at ZooKeeper: whether the session is granted, and whether it may register under the base path."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, RolledBackError, RuntimeInconsistency

from configkit.backends.zookeeper.registry import ZooKeeperRegistry
from configkit.backends.zookeeper.session import translating
from configkit.ports import Examination


def examine(registry: ZooKeeperRegistry) -> Examination:
    """
    Return what there is. Whether nodes may be made is tried in a transaction that removes them again: nobody sees them.

    Raises:
        UnavailableError: No connection, or no answer in time.
        AccessDeniedError: The credentials were refused, or may not register under the base path.
    """
    registry.ping()
    session, base = registry.session, registry.tree.base
    with translating("examine"):
        end = session.end_of_call()
        missing = [path for path in _prefixes(base) if session.insist(end, _looking_for(path)) is None]
        for outcome in session.ask(end, lambda client: _trial(client, missing, base)):
            if isinstance(outcome, KazooException) and not isinstance(outcome, RolledBackError | RuntimeInconsistency):
                raise outcome
        if missing:
            return Examination(detail=f"{base} does not exist yet: the first registration makes it")
        services = session.insist(end, lambda client: client.get_children_async(base or "/"))
    return Examination(detail=f"{len(services)} service{'' if len(services) == 1 else 's'} under {base or '/'}")


def _looking_for(path: str) -> Callable[[KazooClient], Any]:
    return lambda client: client.exists_async(path)


def _prefixes(base: str) -> list[str]:
    parts = base.split("/")[1:]
    return ["/" + "/".join(parts[: depth + 1]) for depth in range(len(parts))] if base else []


def _trial(client: KazooClient, missing: list[str], base: str) -> Any:
    made = [*missing, f"{base}/configkit-doctor-{uuid.uuid4().hex}"]
    transaction = client.transaction()
    for path in made:
        transaction.create(path)
    for path in reversed(made):
        transaction.delete(path)
    return transaction.commit_async()
