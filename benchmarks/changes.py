"""What one change among ten thousand flags costs a client of a server: time, bytes, and whether readers wait for it."""

from __future__ import annotations

import json
import socket
import statistics
import sys
import tempfile
import threading
import time
import urllib.request

from benchmarks.http import served
from configkit.backends.http.flags import HttpFlagStore
from configkit.backends.http.transport import Transport
from configkit.calls import Calls
from configkit.flags.client import Flags
from configkit.flags.model import Flag
from configkit.flags.sets import FlagSets
from configkit.models import FlagChanged, Origin, utcnow

FLAGS = 10_000
CHANGES = 50
MOST_SECONDS = 0.020
MOST_BYTES = 10_000
MOST_WAIT = 0.025
"""Python lets another thread wait for 5 ms at a time; a reader that waited for the network would wait for more."""
ENVIRONMENT = "development"
RULES = [
    {
        "name": "germany",
        "conditions": [{"attribute": "country", "operator": "in", "values": ["DE", "AT", "CH"]}],
        "variant": "on",
        "percentage": 50,
    }
]


def fill(url: str) -> None:
    """Make the flags, over one connection."""
    host, port = url.rpartition("//")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        answers = connection.makefile("rb")
        for number in range(FLAGS):
            body = json.dumps(
                {
                    "name": f"flag-{number}",
                    "environment": ENVIRONMENT,
                    "is_enabled": True,
                    "rollout_percentage": 20,
                    "description": f"The new way of doing the thing number {number}",
                    "rules": RULES,
                }
            ).encode()
            head = f"POST /api/v1/feature-flags HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            status = answers.readline()
            assert b" 201 " in status, status
            length = 0
            while (line := answers.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answers.read(length)


def size_of_changes(url: str, since: int) -> int:
    """Return the bytes of the answer that tells what has changed after *since*, its head included."""
    address = f"{url}/api/v1/feature-flags?environment={ENVIRONMENT}&since={since}"
    request = urllib.request.Request(address, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return len(answer.read()) + sum(len(name) + len(value) + 4 for name, value in answer.headers.items()) + 40


class Reader(threading.Thread):
    """Evaluates on and on, and remembers the longest wait for an answer."""

    def __init__(self, flags: Flags) -> None:
        super().__init__(daemon=True)
        self._flags = flags
        self._ending = threading.Event()
        self.slowest: list[float] = []

    def run(self) -> None:
        while not self._ending.is_set():
            began = time.perf_counter()
            for _ in range(100):
                self._flags.is_enabled("flag-7", user_id="u1", context={"country": "DE"})
            self.slowest.append(time.perf_counter() - began)
            time.sleep(0.001)

    def end(self) -> float:
        self._ending.set()
        self.join()
        return max(self.slowest)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, served("configkit_server.main:app", folder) as port:
        url = f"http://127.0.0.1:{port}"
        print(f"making {FLAGS:,} flags ...", flush=True)
        fill(url)
        transport = Transport(url, deadline=30.0)
        store = HttpFlagStore(transport)
        sets = FlagSets(store, Calls(workers=0))
        began = time.perf_counter()
        first = sets.ensure(ENVIRONMENT)
        print(f"the whole set: {len(first.flags):,} flags in {time.perf_counter() - began:.2f} s")
        reader = Reader(Flags(sets, ENVIRONMENT))
        reader.start()
        seconds, sizes = [], []
        for number in range(CHANGES):
            known = sets.ensure(ENVIRONMENT)
            changed: Flag = store.update(ENVIRONMENT, f"flag-{number}", {"rollout_percentage": number}, origin=Origin("bench"))
            sizes.append(size_of_changes(url, known.version))
            told = FlagChanged("1", ENVIRONMENT, changed.name, changed.version, deleted=False, at=utcnow())
            began = time.perf_counter()
            sets.on_event(told)
            seconds.append(time.perf_counter() - began)
            assert sets.ensure(ENVIRONMENT).flags[changed.name] == changed
        wait = reader.end()
        transport.close()
    cost, size = statistics.median(seconds), max(sizes)
    rows = (
        ("a change, from its event to readers", f"{cost * 1e3:.1f} ms", f"<= {MOST_SECONDS * 1e3:g} ms", cost <= MOST_SECONDS),
        ("a change, bytes of the answer", f"{size:,}", f"<= {MOST_BYTES:,}", size <= MOST_BYTES),
        ("100 evaluations meanwhile, longest", f"{wait * 1e3:.2f} ms", f"<= {MOST_WAIT * 1e3:g} ms", wait <= MOST_WAIT),
    )
    for what, measured, bound, met in rows:
        print(f"{what:36} {measured:>10}  {bound:>10}  {'ok' if met else 'MISSED'}")
    return 0 if all(met for *_, met in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
