"""A server without its REST API: it keeps records in a file, sweeps, and holds nodes, until its standard input ends."""

from __future__ import annotations

import sys
import threading

from configkit.backends.sql import open_sqlite
from configkit.backends.sql.registry import SqlRegistry
from configkit.backends.zookeeper import open_zookeeper
from configkit.backends.zookeeper.holder import Holder
from configkit.models import Origin, ServiceInstance


def main(hosts: str, base: str, file: str, session_timeout: str, count: str) -> None:
    backends = open_sqlite(file, master_key="a test's" * 4)
    records = backends.registry
    assert isinstance(records, SqlRegistry)
    holder = Holder(open_zookeeper(hosts, base, session_timeout=float(session_timeout)), records, records, records.living)
    for number in range(int(count)):
        instance = ServiceInstance("svc", f"http://10.0.0.5:{8000 + number}", instance_id=f"i{number:03d}")
        holder.register(instance, ttl_seconds=600, origin=Origin("a test"))
    leaving = threading.Event()

    def sweep() -> None:
        while not leaving.wait(0.5):
            holder.sweep()

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    sys.stdout.write("registered\n")
    sys.stdout.flush()
    sys.stdin.read()
    leaving.set()
    sweeper.join()
    holder.close()
    backends.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
