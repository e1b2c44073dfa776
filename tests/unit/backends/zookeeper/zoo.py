"""Registries under base paths of their own, plain clients that look behind them, and sessions that end by force."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import ZnodeStat

from configkit.backends.zookeeper import Security, open_zookeeper
from configkit.backends.zookeeper.registry import ZooKeeperRegistry
from configkit.models import Origin, ServiceInstance
from tests import services

ORIGIN = Origin("ann", "a test")


def hosts() -> str:
    """Return where the running ZooKeeper is; without one the test is skipped."""
    return services.need("zookeeper")["ZOOKEEPER_HOSTS"]


def base_path() -> str:
    """Return a base path nobody else uses."""
    return f"/test-{uuid.uuid4().hex[:12]}"


def instance(instance_id: str = "one", service: str = "svc", **fields: Any) -> ServiceInstance:
    return ServiceInstance(service, fields.pop("service_url", "http://10.0.0.5:8087"), instance_id=instance_id, **fields)


@contextmanager
def registry(
    at: str, base: str, *, session_timeout: float = 4.0, deadline: float = 5.0, security: Security | None = None, **more: Any
) -> Iterator[ZooKeeperRegistry]:
    opened = open_zookeeper(at, base, session_timeout=session_timeout, deadline=deadline, security=security, **more)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def plain(at: str, **options: Any) -> Iterator[Any]:
    """Give kazoo's own client."""
    client = KazooClient(at, timeout=10, **options)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def expire(registry: ZooKeeperRegistry, at: str) -> None:
    """End the session of *registry* as the server would: a second connection takes it over, and closes it."""
    client, _ = registry.session.connected(registry.session.end_of_call())
    with plain(at, client_id=client.client_id):
        pass


def nodes(client: Any, base: str, service: str = "svc") -> dict[str, tuple[dict[str, Any], ZnodeStat]]:
    """Return content and state of every node of *service*."""
    found = {}
    for child in client.get_children(f"{base}/{service}") if client.exists(f"{base}/{service}") else []:
        with suppress(NoNodeError):
            content, stat = client.get(f"{base}/{service}/{child}")
            found[child] = (json.loads(content), stat)
    return found


class Process:
    """A module of this folder as a process of its own, started and registered."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", f"tests.unit.backends.zookeeper.{module}", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "registered\n"

    @property
    def pid(self) -> int:
        return self._process.pid

    def leave(self) -> None:
        """Have it end in order, without waiting for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait(self) -> None:
        self._process.wait(10)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def process(module: str, *arguments: str) -> Iterator[Process]:
    started = Process(module, *arguments)
    try:
        yield started
    finally:
        started.close()


def member(at: str, base: str, *, instance_id: str = "one", session_timeout: float = 2.0) -> AbstractContextManager[Process]:
    """Run a service that registers itself."""
    return process("member", at, base, instance_id, str(session_timeout))


def server(at: str, base: str, file: Path, *, session_timeout: float = 2.0, count: int = 1) -> AbstractContextManager[Process]:
    """Run a server that holds the nodes of *count* instances."""
    return process("server", at, base, str(file), str(session_timeout), str(count))
