"""The deployments whose registry is ZooKeeper; what else they have is in memory or in a file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from configkit.backends.memory import open_memory
from configkit.ports import Backends
from tests import services

if TYPE_CHECKING:
    from configkit.backends.zookeeper.registry import ZooKeeperRegistry


@contextmanager
def on_zookeeper(count: int) -> Iterator[list[Backends]]:
    """Give the backends of *count* processes, each with a session of its own, under a base path of their own."""
    base = f"/conformance-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            registry, rest = open_zookeeper(base), open_memory()
            stack.callback(registry.close)
            stack.callback(rest.close)
            opened.append(replace(rest, mode="direct", registry=registry))
        yield opened


@contextmanager
def with_records(folder: Path) -> Iterator[list[Backends]]:
    """Give two servers that keep their records in one file and hold nodes in ZooKeeper."""
    from configkit.backends.sql import open_sqlite
    from configkit.backends.sql.registry import SqlRegistry
    from configkit.backends.zookeeper.holder import Holder

    base = f"/conformance-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        opened = []
        for _ in range(2):
            file = open_sqlite(str(folder / "configkit.db"), master_key="conformance" * 4)
            stack.callback(file.close)
            assert isinstance(file.registry, SqlRegistry)
            holder = Holder(open_zookeeper(base), file.registry, file.registry, file.registry.living)
            stack.callback(holder.close)
            opened.append(replace(file, mode="direct", registry=holder, records=holder))
        yield opened


def open_zookeeper(base: str, *, session_timeout: float = 4.0) -> ZooKeeperRegistry:
    """Return the registry under *base* of the running ZooKeeper."""
    from configkit.backends.zookeeper import open_zookeeper

    return open_zookeeper(services.need("zookeeper")["ZOOKEEPER_HOSTS"], base, session_timeout=session_timeout)
