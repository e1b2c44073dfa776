"""How long importing each client takes, in fresh interpreters: `python -m benchmarks.peers.imports`."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks import results

BOUND = 0.030
RUNS = 9
MODULES = {
    "configkit": "configkit",
    "eppo-server-sdk": "eppo_client",
    "flagd core": "openfeature.contrib.tools.flagd.core",
    "configcat": "configcatclient",
    "growthbook": "growthbook",
    "launchdarkly": "ldclient",
    "posthog": "posthog",
    "statsig": "statsig_python_core",
    "unleash": "UnleashClient",
}


def seconds_of(module: str) -> float:
    """Return how long importing *module* takes in an interpreter of its own."""
    program = f"import time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


def main() -> int:
    runs: dict[str, list[float]] = {name: [] for name in MODULES}
    for _ in range(RUNS):
        for name, module in MODULES.items():
            runs[name].append(seconds_of(module))
    found = {name: statistics.median(each) for name, each in runs.items()}
    for name, seconds in sorted(found.items(), key=lambda each: each[1]):
        print(f"{name:18} {seconds * 1000:7.1f} ms {'#' * round(seconds * 200)}")
    results.keep("imports", found)
    met = found["configkit"] <= BOUND
    print(f"import configkit within {BOUND * 1000:.0f} ms: {'ok' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
