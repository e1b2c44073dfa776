"""What the tests run in processes of their own: ``python -m tests.unit.backends.sql.postgres.worker TASK URL SCHEMA ...``."""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

from configkit.backends.sql import open_postgres
from configkit.backends.sql.postgres.opening import PostgresPieces
from configkit.flags.model import Flag
from configkit.models import Event, Origin
from tests.waiting import eventually

ORIGIN = Origin("worker")


def say(what: object) -> None:
    """Tell the test, at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def create(pieces: PostgresPieces, name: str) -> None:
    """Create a flag."""
    pieces.flags.create(Flag(name, "staging"), origin=ORIGIN)


def raise_counter(pieces: PostgresPieces, times: str) -> None:
    """Create flags of this process's own, so that the environment's counter grows by one each time."""
    for number in range(int(times)):
        pieces.flags.create(Flag(f"flag-{os.getpid()}-{number}", "staging"), origin=ORIGIN)


def fork(pieces: PostgresPieces, name: str) -> None:
    """Fork while everything is in use; the child writes, the parent writes and closes, and the child writes on."""
    pieces.flags.create(Flag(name, "staging"), origin=ORIGIN)
    told: list[Event] = []
    pieces.bus.subscribe(told.append)
    to_child, to_parent = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(pieces, name, to_child[0], to_parent[1])
    os.read(to_parent[0], 1)
    pieces.flags.update("staging", name, {"is_enabled": False}, origin=ORIGIN, expected_version=2)
    eventually(lambda: len(told) == 2)
    pieces.close()
    os.write(to_child[1], b".")
    _, status = os.waitpid(child, 0)
    say(f"child ended with {os.waitstatus_to_exitcode(status)}")


def _in_child(pieces: PostgresPieces, name: str, wait: int, tell: int) -> NoReturn:
    try:
        told: list[Event] = []
        pieces.bus.subscribe(told.append)
        pieces.flags.update("staging", name, {"is_enabled": True}, origin=ORIGIN, expected_version=1)
        os.write(tell, b".")
        os.read(wait, 1)
        pieces.flags.update("staging", name, {"is_enabled": True}, origin=ORIGIN, expected_version=3)
        eventually(lambda: len(told) == 3)
    except BaseException:  # noqa: BLE001  (whatever it is, the parent's code must not run twice)
        traceback.print_exc()
        os._exit(1)
    # Like a killed process: what was acknowledged must be there without a clean end.
    os._exit(0)


if __name__ == "__main__":
    task, url, schema, argument = sys.argv[1:]
    opened = open_postgres(url, migrate=True, role="server", schema=schema, deadline=20.0)
    try:
        globals()[task](opened, argument)
    finally:
        opened.close()
