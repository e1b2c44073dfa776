"""OpenFeature's remote evaluation beside fast-feature, another server in Python: `python -m benchmarks.peers.fastfeature`."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack

from benchmarks import results, timing
from benchmarks.http import Load, request, served
from benchmarks.ofrep import BULK, CONNECTIONS, CONTEXT, SINGLE, prepare

PATHS = {SINGLE: "/ofrep/v1/evaluate/flags/flag-1", BULK: "/ofrep/v1/evaluate/flags"}
THEIRS, OURS = "fast-feature", "configkit"


def main() -> int:
    rates: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ours = stack.enter_context(served("configkit_server.main:app", folder))
        theirs = stack.enter_context(served("benchmarks.peers.fastfeature_app:app", folder))
        prepare(ours)
        for what, path in PATHS.items():
            loads = {
                name: Load(port, request("POST", path, CONTEXT), connections=CONNECTIONS)
                for name, port in ((THEIRS, theirs), (OURS, ours))
            }
            for load in loads.values():
                load.requests = 1 if what == BULK else load.requests
            try:
                figures = timing.ratios({name: load.run for name, load in loads.items()}, batch_seconds=0.5)
            finally:
                for load in loads.values():
                    load.close()
            operations = CONNECTIONS * next(iter(loads.values())).requests
            print(timing.table(f"OFREP, {what}, beside {THEIRS}", figures, operations=operations), flush=True)
            rates[what] = {name: operations / figure.seconds for name, figure in figures.items()}
    results.keep("fastfeature", {"rates": rates, "connections": CONNECTIONS})
    return 0


if __name__ == "__main__":
    sys.exit(main())
