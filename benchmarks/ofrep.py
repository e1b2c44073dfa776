"""OpenFeature's remote evaluation over HTTP, beside bare Starlette endpoints that answer as many bytes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks import timing
from benchmarks.http import Load, post, request, served

CONNECTIONS = 32
FLAGS = 100
CONTEXT = {"context": {"targetingKey": "user-123", "country": "DE", "plan": "pro"}}
SINGLE, BULK = "one flag", f"{FLAGS} flags at once"
BOUNDS = {SINGLE: 0.75, BULK: 0.40}
RULES = [{"conditions": [{"attribute": "country", "operator": "in", "values": ["DE", "AT"]}], "variant": "on", "percentage": 50}]


def prepare(port: int) -> None:
    """Make the flags: a third on, a third for a share, a third by rule."""
    for number in range(FLAGS):
        kind = ({"rollout_percentage": 100}, {"rollout_percentage": 30}, {"rules": RULES})[number % 3]
        post(port, "/api/v1/feature-flags", {"name": f"flag-{number}", "environment": "development", "is_enabled": True, **kind})


def main() -> int:
    met = True
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ours = stack.enter_context(served("configkit_server.main:app", folder))
        prepare(ours)
        for title, path in ((SINGLE, "/ofrep/v1/evaluate/flags/flag-1"), (BULK, "/ofrep/v1/evaluate/flags")):
            candidate = Load(ours, request("POST", path, CONTEXT), connections=CONNECTIONS)
            head, _, body = candidate.answer.partition(b"\r\n\r\n")
            assert head
            os.environ["BENCHMARK_BYTES"] = str(len(body))
            with served("benchmarks.bare:of_size", folder) as bare:
                floor = Load(bare, request("POST", "/", CONTEXT), connections=CONNECTIONS)
                runs: dict[str, Callable[[], None]] = {f"floor: {len(body):,} bytes": floor.run, title: candidate.run}
                try:
                    figures = timing.ratios(runs, batch_seconds=0.5)
                finally:
                    floor.close()
                    candidate.close()
            bounds = {title: BOUNDS[title]}
            operations = CONNECTIONS * candidate.requests
            print(
                timing.table(
                    f"OFREP, {title}: one worker, {CONNECTIONS} connections", figures, operations=operations, bounds=bounds
                )
            )
            met = met and timing.met(figures, bounds)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
