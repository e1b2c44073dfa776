"""
How long loading flags takes, and how much memory, beside other clients: `python -m benchmarks.peers.loading`.

Each is measured in a process of its own: from the document as it comes over the network until the first flag is decided.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import results

SIZES = (10, 100, 1_000, 10_000, 100_000)
COMPARED = 10_000
RUNS = 5
"""Processes of each, in turns; the median counts."""


def ours(size: int) -> tuple[bytes, Callable[[bytes], object]]:
    """Return *size* flags as the server sends them, and what loads them and decides one."""
    from configkit.flags.compiled import compile_set
    from configkit.flags.documents import document_of, flags_of
    from configkit.flags.model import Flag
    from configkit.flags.snapshot import FlagSet
    from configkit.models import utcnow

    now = utcnow()
    common: dict[str, Any] = {"is_enabled": True, "created_at": now, "updated_at": now}
    flags = [
        Flag(f"filler-{number}", "production", rollout_percentage=number % 100, version=number + 1, **common)
        for number in range(size)
    ]
    document = json.dumps({"items": [document_of(flag) for flag in flags], "version": size}).encode()

    def load(content: bytes) -> object:
        read = json.loads(content)
        compiled = compile_set(FlagSet("production", read["version"], flags_of(read["items"])))
        assert compiled.evaluate("filler-7", False, "user-1").error_code is None
        return compiled

    return document, load


def eppo(size: int) -> tuple[bytes, Callable[[bytes], object]]:
    """Return the same in Eppo's format, and for its client."""
    import eppo_client

    from benchmarks.peers.eppo import Silent, definitions

    def load(content: bytes) -> object:
        config = eppo_client.ClientConfig(
            "none",
            assignment_logger=Silent(),
            poll_interval_seconds=None,
            initial_configuration=eppo_client.Configuration(flags_configuration=content),
        )
        client = eppo_client.init(config)
        client.get_boolean_assignment("filler-7", "user-1", {}, False)
        return client

    return definitions(size), load


def launchdarkly(size: int) -> tuple[bytes, Callable[[bytes], object]]:
    """Return the same in LaunchDarkly's format, and for its SDK."""
    from ldclient import Context

    from benchmarks.peers.launchdarkly import client_of, share_flag

    document = json.dumps([share_flag(f"filler-{number}", number % 100) for number in range(size)]).encode()

    def load(content: bytes) -> object:
        client = client_of(json.loads(content))
        client.variation("filler-7", Context.create("user-1"), False)
        return client

    return document, load


CLIENTS = {"configkit": ours, "eppo-server-sdk": eppo, "launchdarkly": launchdarkly}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure_here(name: str, size: int) -> None:
    """Print seconds and bytes of one client, in this process."""
    document, load = CLIENTS[name](size)
    load(CLIENTS[name](10)[0])  # what is imported and made once
    gc.collect()
    before, began = _resident(), time.perf_counter()
    kept = load(document)
    seconds = time.perf_counter() - began
    gc.collect()
    print(json.dumps([seconds, _resident() - before]))
    del kept


def measure(name: str, size: int) -> tuple[float, float]:
    """Return seconds and bytes of one client, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.peers.loading", name, str(size)]
    seconds, size_in_bytes = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return seconds, size_in_bytes


def main() -> int:
    if len(sys.argv) > 1:
        measure_here(sys.argv[1], int(sys.argv[2]))
        return 0
    found: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in CLIENTS}
    for size in SIZES:
        runs = {name: [] for name in CLIENTS}  # type: dict[str, list[tuple[float, float]]]
        for _ in range(RUNS if size == COMPARED else 1):
            for name in CLIENTS:
                runs[name].append(measure(name, size))
        for name, each in runs.items():
            seconds, memory = (statistics.median(column) for column in zip(*each, strict=True))
            found[name][str(size)] = seconds, memory
            print(f"{size:>9,} flags  {name:18} {seconds * 1000:9.1f} ms {memory / 1e6:9.1f} MB", flush=True)
    results.keep("loading", found)
    own, peer = (found[name][str(COMPARED)] for name in ("configkit", "eppo-server-sdk"))
    met = own[0] <= peer[0] and own[1] <= peer[1]
    print(f"{COMPARED:,} flags, no slower and no larger than eppo-server-sdk: {'ok' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
