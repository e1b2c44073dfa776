"""A server on the five real systems under load, beside a bare Starlette endpoint, and how much of the load reaches Vault."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack

from tests.directs import SERVERS, fresh_direct
from tests.faults.proxy import proxy
from tests.services import LEADS_TO, env

from benchmarks import timing
from benchmarks.http import BOUND, PLACE, REQUESTS, Load, prepare, request, served

CONNECTIONS = 32
TITLE = "GET /config/{key}, known"
SHARE_OF_VAULT = 0.001
"""What Vault is asked besides: renewals, and known values read back at their own pace."""


def main() -> int:
    missing = [name for name in SERVERS if not env().get(LEADS_TO[name])]
    if missing:
        print(f"not started: {', '.join(missing)}; run: nox -s services -- start")
        return 1
    with tempfile.TemporaryDirectory() as folder, fresh_direct() as variables, ExitStack() as stack:
        vault = stack.enter_context(proxy(int(variables["VAULT_ADDR"].rpartition(":")[2])))
        bare = stack.enter_context(served("benchmarks.bare:app", folder))
        through = {**variables, "VAULT_ADDR": f"http://127.0.0.1:{vault.port}"}
        ours = stack.enter_context(served("configkit_server.main:app", folder, through))
        prepare(ours)
        query = "&".join(f"{name}={value}" for name, value in PLACE.items())
        loads = {
            "floor: a bare endpoint": Load(bare, request("GET", "/constant"), connections=CONNECTIONS),
            TITLE: Load(ours, request("GET", f"/api/v1/config/model_path?{query}"), connections=CONNECTIONS),
        }
        runs: dict[str, Callable[[], None]] = {name: load.run for name, load in loads.items()}
        before, counted = vault.asked, 0

        def run_and_count() -> None:
            nonlocal counted
            counted += CONNECTIONS * REQUESTS
            loads[TITLE].run()

        runs[TITLE] = run_and_count
        try:
            figures = timing.ratios(runs, batch_seconds=0.5)
        finally:
            for load in loads.values():
                load.close()
        asked = vault.asked - before
    bounds = {TITLE: BOUND}
    operations = CONNECTIONS * REQUESTS
    print(
        timing.table(f"{TITLE}: direct mode, one worker, {CONNECTIONS} connections", figures, operations=operations, bounds=bounds)
    )
    print(f"Vault was asked {asked} times during {counted} requests (bound: {SHARE_OF_VAULT:.1%})")
    return 0 if timing.met(figures, bounds) and asked <= SHARE_OF_VAULT * counted else 1


if __name__ == "__main__":
    sys.exit(main())
