from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from scripts.services import Server

from configkit.backends.redis import Address, open_redis
from configkit.backends.redis.shared import SharedRedis
from tests import services

Open = Callable[..., SharedRedis]


def address(env: dict[str, str], **changes: Any) -> Address:
    return Address(env["REDIS_HOST"], **{"port": int(env["REDIS_PORT"]), "password": env["REDIS_PASSWORD"], **changes})


@pytest.fixture
def opened() -> Iterator[Open]:
    """
    Opens the caches at an address, as often as wanted, and closes them in the end.

    The deadline is one that a busy machine keeps too; tests about time choose the usual one.
    """
    with ExitStack() as stack:

        def open_(where: Address, **options: Any) -> SharedRedis:
            shared = open_redis(where, **{"namespace": f"test-{uuid.uuid4().hex}", "deadline": 2.0, **options})
            stack.callback(shared.close)
            return shared

        yield open_


@pytest.fixture
def env() -> dict[str, str]:
    return services.need("redis")


@pytest.fixture
def shared(opened: Open, env: dict[str, str]) -> SharedRedis:
    return opened(address(env))


@pytest.fixture
def raw(env: dict[str, str]) -> Iterator[redis.Redis]:
    """The driver itself, to look behind configkit."""
    client = redis.Redis(env["REDIS_HOST"], int(env["REDIS_PORT"]), password=env["REDIS_PASSWORD"], protocol=2)
    yield client
    client.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis of the test's own, to do harm to."""
    with services.private("redis", tmp_path) as private:
        yield private
