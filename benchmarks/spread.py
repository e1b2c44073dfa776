"""How even the time of calls is, and what threads do to it: `python -m benchmarks.spread`."""

from __future__ import annotations

import gc
import statistics
import sys
import threading
import time
from collections.abc import Callable

from benchmarks.peers import ours
from benchmarks.peers.workload import CASES, pairs

CALLS, BATCHES = 100, 2_000
P99_OF_MEDIAN, ROUNDS = 2.0, 40
THREADS, OF_ONE, SECONDS, TURNS = 4, 0.9, 0.05, 150
"""A turn takes ten times as long as the interpreter lets one thread run, and is short beside what else the machine does."""


def spread(call: Callable[..., object], name: str, default: object) -> float:
    """Return the 99th percentile of batches of calls, as a multiple of their median; the calmest of some rounds."""
    return min(_spread(call, name, default) for _ in range(ROUNDS))


def _spread(call: Callable[..., object], name: str, default: object) -> float:
    batches = []
    gc.collect()
    for number in range(BATCHES):
        part = pairs[number % 100 * CALLS : (number % 100 + 1) * CALLS]
        began = time.perf_counter()
        for user, context in part:
            call(name, default, user_id=user, context=context)
        batches.append(time.perf_counter() - began)
    return statistics.quantiles(batches, n=100)[98] / statistics.median(batches)


def beside_one(call: Callable[..., object], name: str, default: object) -> float:
    """Return the calls a second of some threads beside those of one: the median of turns right after each other."""
    return statistics.median(together(call, name, default, THREADS) / together(call, name, default, 1) for _ in range(TURNS))


def together(call: Callable[..., object], name: str, default: object, threads: int) -> float:
    """Return the calls a second of *threads* threads together."""
    end = time.perf_counter() + SECONDS
    counts = [0] * threads

    def run(number: int) -> None:
        while time.perf_counter() < end:
            for user, context in pairs[:1000]:
                call(name, default, user_id=user, context=context)
            counts[number] += 1000

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - began)


def main() -> int:
    flags, met = ours.flags(), True
    print(f"{'':24}{'p99 of the median':>20}{f'{THREADS} threads of one':>20}")
    for case in CASES:
        call, name, default = ours.question(flags, case)
        multiple, ratio = spread(call, name, default), beside_one(call, name, default)
        fine = multiple <= P99_OF_MEDIAN and ratio >= OF_ONE
        met = met and fine
        print(f"{case:24}{multiple:20.2f}{ratio:20.2f}  {'ok' if fine else 'MISSED'}", flush=True)
    print(f"bounds: at most {P99_OF_MEDIAN} and at least {OF_ONE}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
