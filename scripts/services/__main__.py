"""`python -m scripts.services start|stop|status|reset [--folder FOLDER] [SERVER ...]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.services.fleet import RECIPES, SHARED, Fleet, FleetError, rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what it says."""
    parser = argparse.ArgumentParser(prog="python -m scripts.services", description="Real servers for the tests, on loopback.")
    parser.add_argument("action", choices=["start", "stop", "status", "reset"])
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"{', '.join(RECIPES)}; all of them if none is named")
    parser.add_argument("--folder", type=Path, default=SHARED, help="where they live (default: .services of the checkout)")
    given = parser.parse_intermixed_args(arguments)
    unknown = sorted(set(given.servers) - set(RECIPES))
    if unknown:
        parser.error(f"no such server: {', '.join(unknown)}")
    fleet = Fleet(given.folder, given.servers)
    began = time.monotonic()
    try:
        if given.action == "start":
            fleet.start(install=True)
        elif given.action == "stop":
            fleet.stop()
        elif given.action == "reset":
            fleet.reset()
    except FleetError as error:
        print(error, file=sys.stderr)
        return 1
    for row in rows(fleet.servers):
        print("{:<10} {:<16} {:<8} {}".format(*row))
    if given.action != "status":
        print(f"{given.action}: {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
