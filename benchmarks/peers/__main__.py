"""Each case beside every peer: with the context made beforehand, and made for each call."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping

from benchmarks import results, timing
from benchmarks.peers import eppo, ours
from benchmarks.peers.workload import CASES, USERS, Candidate, check, prepared

PREBUILT, BUILDING = 2.0, 2.5
"""How many times as fast as the fastest peer configkit has to be."""
OTHERS = ("statsig", "flagd", "growthbook", "configcat", "posthog", "launchdarkly", "unleash")
PASSES = 2


def runs(candidate: Candidate, case: str, *, building: bool) -> Callable[[], None]:
    """Return one pass over all contexts."""
    if building:
        ask = candidate.ask_building[case]
        return lambda: _drop(ask())
    contexts = prepared(candidate)
    return lambda: _drop(candidate.ask[case](contexts))


def _drop(answers: object) -> None:
    del answers


def beside_the_fastest(peer: Candidate, own: Candidate) -> tuple[dict[str, dict[str, float]], bool]:
    """Measure both in turns, print each case, and return evaluations per second, and whether every bound is met."""
    rates: dict[str, dict[str, float]] = {}
    met = True
    for building, bound in ((False, PREBUILT), (True, BUILDING)):
        for case in CASES:
            both = {candidate.name: runs(candidate, case, building=building) for candidate in (peer, own)}
            figures = timing.ratios(both, batch_seconds=0.3)
            bounds = {own.name: bound}
            print(timing.table(title(case, building=building), figures, operations=len(USERS), bounds=bounds), flush=True)
            met = met and timing.met(figures, bounds)
            rates[title(case, building=building)] = {name: len(USERS) / figure.seconds for name, figure in figures.items()}
    return rates, met


def others() -> dict[str, dict[str, float]]:
    """Return evaluations per second of the slower peers, the better of a few passes."""
    rates: dict[str, dict[str, float]] = {}
    for module in OTHERS:
        candidate = importlib.import_module(f"benchmarks.peers.{module}").load()
        check(candidate)
        for building in (False, True):
            for case in CASES:
                seconds = timing.best(runs(candidate, case, building=building), PASSES)
                rates.setdefault(title(case, building=building), {})[candidate.name] = len(USERS) / seconds
        print(f"{candidate.name}: measured", flush=True)
    return rates


def title(case: str, *, building: bool) -> str:
    """Return what a case is called in tables."""
    return f"{case}, the context {'made for each call' if building else 'made beforehand'}"


def show(rates: Mapping[str, Mapping[str, float]]) -> None:
    """Print thousands of evaluations per second of everybody."""
    names = list(next(iter(rates.values())))
    print(f"\n{'thousand evaluations a second':52}" + "".join(f"{name:>17}" for name in names))
    for case, found in rates.items():
        print(f"{case:52}" + "".join(f"{found[name] / 1000:17,.0f}" for name in names))


def main() -> int:
    peer, own = eppo.load(), ours.load()
    for candidate in (peer, own):
        check(candidate)
    rates, met = beside_the_fastest(peer, own)
    for case, found in others().items():
        rates[case] = {own.name: rates[case][own.name], **dict(sorted({**rates[case], **found}.items()))}
    show(rates)
    results.keep("cases", rates)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
