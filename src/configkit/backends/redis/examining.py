"""A closer look at Redis: its release, whether it takes what configkit writes, and how it makes room."""

from __future__ import annotations

import time
from typing import Any

from configkit.backends.redis.shared import SharedRedis
from configkit.errors import AccessDeniedError
from configkit.ports import Examination

PROBE = "doctor"


def examine(shared: SharedRedis) -> Examination:
    """Return what there is, having written and read an entry that is gone within a second. Raises as `Link.call` does."""
    shared.ping()
    shared.blobs.keep(PROBE, time.time_ns() // 1000, b"well", seconds=1)
    shared.blobs.load(PROBE)
    shared.blobs.drop(PROBE)
    try:
        said: dict[str, Any] = shared.link.call("examine", lambda client: client.info("everything"))
    except AccessDeniedError:  # a user of its own need not see this
        return Examination()
    return Examination(str(said.get("redis_version", "")) or None, _room(said), notes=_notes(said))


def _room(said: dict[str, Any]) -> str:
    most = said.get("maxmemory") or 0
    return f"{said.get('used_memory_human', '?')} in use" + (f" of {said.get('maxmemory_human')}" if most else "")


def _notes(said: dict[str, Any]) -> tuple[str, ...]:
    if said.get("maxmemory") and said.get("maxmemory_policy") == "noeviction":
        return ("it refuses writes once it is full: set maxmemory-policy allkeys-lru",)
    return ()
