"""A service that registers itself in ZooKeeper, and stays until its standard input ends."""

from __future__ import annotations

import sys
from dataclasses import replace

from configkit.backends.memory import open_memory
from configkit.backends.zookeeper import open_zookeeper
from configkit.client import ConfigKit
from tests.waiting import eventually


def main(hosts: str, base: str, instance_id: str, session_timeout: str) -> None:
    registry = open_zookeeper(hosts, base, session_timeout=float(session_timeout))
    memory = open_memory()

    def close() -> None:
        registry.close()
        memory.close()

    backends = replace(memory, mode="direct", registry=registry, close=close)
    with (
        ConfigKit(backends, service_name="svc") as kit,
        kit.register(url=f"http://127.0.0.1:{8000 + len(instance_id)}", instance_id=instance_id) as registration,
    ):
        eventually(lambda: registration.registered, timeout=10)
        sys.stdout.write("registered\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
