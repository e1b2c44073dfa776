"""Each case beside the fastest peer: with the context made beforehand, and made for each call."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import timing
from benchmarks.peers import eppo, ours
from benchmarks.peers.workload import CASES, CONTEXTS, USERS, Candidate, check

PREBUILT, BUILDING = 2.0, 2.5
"""How many times as fast as the peer configkit has to be."""


def runs(candidate: Candidate, case: str, *, building: bool) -> Callable[[], None]:
    """Return one pass over all contexts."""
    if building:
        ask = candidate.ask_building[case]
        return lambda: _drop(ask())
    contexts = [candidate.prepare(user, attributes) for user, attributes in zip(USERS, CONTEXTS, strict=True)]
    return lambda: _drop(candidate.ask[case](contexts))


def _drop(answers: object) -> None:
    del answers


def main() -> int:
    peer, own = eppo.load(), ours.load()
    for candidate in (peer, own):
        check(candidate)
    met = True
    for building, bound in ((False, PREBUILT), (True, BUILDING)):
        for case in CASES:
            both = {candidate.name: runs(candidate, case, building=building) for candidate in (peer, own)}
            figures = timing.ratios(both, batch_seconds=0.3)
            bounds = {own.name: bound}
            title = f"{case}, the context {'made for each call' if building else 'made beforehand'}"
            print(timing.table(title, figures, operations=len(USERS), bounds=bounds), flush=True)
            met = met and timing.met(figures, bounds)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
