"""What the tests run in processes of their own: ``python -m tests.unit.backends.sql.worker TASK FILE ...``."""

from __future__ import annotations

import os
import sys
import time
import traceback
from typing import NoReturn

from configkit.backends.sql import open_sqlite
from configkit.errors import ConflictError
from configkit.models import ConfigPath, Event, Origin, ServiceInstance
from configkit.ports import Backends
from tests.waiting import eventually

PATH = ConfigPath("development", "svc", "counter")
ORIGIN = Origin("worker")


def say(what: object) -> None:
    """Tell the test, at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def increment(backends: Backends, times: str) -> None:
    """Add one to the counter, that many times, by compare-and-set."""
    for _ in range(int(times)):
        while True:
            found = backends.config.read(PATH)
            try:
                backends.config.update(PATH, found.value + 1, origin=ORIGIN, expected_version=found.version)
            except ConflictError:
                continue
            break


def write(backends: Backends, key: str) -> None:
    """Write version after version of a key, and say so on standard output once each is acknowledged."""
    path = ConfigPath("development", "svc", key)
    backends.config.create(path, 1, is_encrypted=True, origin=ORIGIN)
    say(1)
    for number in range(2, 1_000_000):
        backends.config.update(path, number, origin=ORIGIN, expected_version=number - 1)
        say(number)


def set_once(backends: Backends, key: str) -> None:
    """Write a key, and say when."""
    backends.config.create(ConfigPath("development", "svc", key), "there", is_encrypted=False, origin=ORIGIN)
    say(time.monotonic())


def open_only(backends: Backends, key: str) -> None:
    """Write a secret of its own."""
    backends.config.create(ConfigPath("development", "svc", key), "secret", is_encrypted=True, origin=ORIGIN)


def register(backends: Backends, instance_id: str) -> None:
    """Register with the shortest lease and renew it until killed."""
    backends.registry.register(
        ServiceInstance("svc", "http://127.0.0.1:1", instance_id=instance_id), ttl_seconds=5.0, origin=ORIGIN
    )
    say("registered")
    while True:
        time.sleep(0.5)
        backends.registry.heartbeat("svc", instance_id)


def fork(backends: Backends, key: str) -> None:
    """
    Fork while everything is in use; then the child writes, the parent closes, and the child writes on.

    Each says on standard output what it was told, and which versions were acknowledged.
    """
    path = ConfigPath("development", "svc", key)
    backends.config.create(path, 1, is_encrypted=True, origin=ORIGIN)
    told: list[Event] = []
    backends.bus.subscribe(told.append)
    to_child, to_parent = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(backends, path, to_child[0], to_parent[1])
    os.read(to_parent[0], 1)
    backends.config.update(path, 3, origin=ORIGIN, expected_version=2)
    eventually(lambda: len(told) == 2)
    backends.close()
    os.write(to_child[1], b".")
    _, status = os.waitpid(child, 0)
    say(f"child ended with {os.waitstatus_to_exitcode(status)}")


def _in_child(backends: Backends, path: ConfigPath, wait: int, tell: int) -> NoReturn:
    try:
        told: list[Event] = []
        backends.bus.subscribe(told.append)
        backends.config.update(path, 2, origin=ORIGIN, expected_version=1)
        os.write(tell, b".")
        os.read(wait, 1)
        backends.config.update(path, 4, origin=ORIGIN, expected_version=3)
        backends.config.update(path, 5, origin=ORIGIN, expected_version=4)
        eventually(lambda: len(told) == 4)
    except BaseException:  # noqa: BLE001  (whatever it is, the parent's code must not run twice)
        traceback.print_exc()
        os._exit(1)
    # Like a killed process: what was acknowledged must be there without a clean end.
    os._exit(0)


if __name__ == "__main__":
    task, file, argument = sys.argv[1:]
    opened = open_sqlite(file, master_key=None, deadline=20.0)
    try:
        globals()[task](opened, argument)
    finally:
        opened.close()
