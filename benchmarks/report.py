"""Make `docs/benchmarks.md` and its charts of the figures of the last run: `python -m benchmarks.report`."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import charts, results
from benchmarks.peers.__main__ import title
from benchmarks.peers.workload import CASES

DOCS = Path(__file__).parents[1] / "docs"
CHARTS = DOCS / "benchmarks"
OWN = "configkit"
PACKAGES = (
    "configcat-client",
    "eppo-server-sdk",
    "fast-feature",
    "growthbook",
    "launchdarkly-server-sdk",
    "openfeature-flagd-core",
    "posthog",
    "statsig-python-core",
    "UnleashClient",
)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown, numbers on the right."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows))


def cases(rates: dict[str, dict[str, float]], *, building: bool) -> str:
    """Return a table of thousands of evaluations a second."""
    found = {case: rates[title(case, building=building)] for case in CASES}
    names = sorted(found[CASES[0]], key=lambda name: -found[CASES[0]][name])
    rows = []
    for name in names:
        shown = f"**{name}**" if name == OWN else name
        rows.append([shown, *(f"{found[case][name] / 1000:,.0f}" for case in CASES)])
    fastest = [max(rate for name, rate in found[case].items() if name != OWN) for case in CASES]
    rows.append(["beside the fastest", *(f"{found[case][OWN] / rate:.1f} x" for case, rate in zip(CASES, fastest, strict=True))])
    return table(["", *CASES], rows)


def loading(found: dict[str, dict[str, list[float]]]) -> str:
    """Return a table of seconds and bytes by number of flags."""
    sizes = list(found[OWN])
    rows = [
        [name, *(f"{seconds * 1000:,.1f} ms, {memory / 1e6:,.1f} MB" for seconds, memory in (by[size] for size in sizes))]
        for name, by in found.items()
    ]
    return table(["", *(f"{int(size):,} flags" for size in sizes)], rows)


def scale(found: dict[str, list[tuple[int, float]]]) -> str:
    """Return a table of nanoseconds by number of flags, or of targeted users."""
    sizes = [size for size, _ in next(iter(found.values()))]
    rows = [[f"of {what}", *(f"{seconds * 1e9:.0f} ns" for _, seconds in points)] for what, points in found.items()]
    return table(["by the number", *(f"{size:,}" for size in sizes)], rows)


def imports(found: dict[str, float]) -> str:
    """Return a table of milliseconds."""
    rows = [[name, f"{seconds * 1000:.0f} ms"] for name, seconds in sorted(found.items(), key=lambda each: each[1])]
    return table(["", "import"], rows)


def remote(found: dict[str, dict[str, float]]) -> str:
    """Return a table of requests a second."""
    names = list(next(iter(found.values())))
    rows = [[what, *(f"{rates[name]:,.0f}" for name in names)] for what, rates in found.items()]
    return table(["requests a second", *names], rows)


def _versions() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


PAGE = """# Benchmarks

Made by `nox -s bench` on {date}, on {cores} processors of {machine}, with Python {python}. What counts are the ratios: what stands
beside each other was measured in turns in one run. The other clients: {versions}.
Each decides in the process, by definitions that it was given, sends nothing, and was checked to answer what it should before its
time counted. Flagsmith is not among them: its client decides all flags of a user at once, so that one flag has no time of its own.

## Evaluation

One hundred flags, ten thousand users with three attributes each; thousands of evaluations a second, through the public calls
(`is_enabled`, and `value` for the four variants), each counted. With the context made beforehand:

{prebuilt}

![Evaluations a second, the context made beforehand](benchmarks/cases.svg)

With the context made for each call:

{building}

What an evaluation costs does not depend on how many flags there are, and hardly on how many users a flag names (by `is_enabled`, of
flags at 30 %, and of one flag, asked for users that it names as often as for others):

{scale}

![Time of an evaluation](benchmarks/scale.svg)

## Loading

From the document as it comes over the network until the first flag is decided, each in a process of its own; the memory is what
the process has grown by. A flag is made when it is asked for the first time, which takes some tens of microseconds once.

{loading}

![Time to load flags](benchmarks/loading.svg)

## Importing

In a fresh interpreter, without the time of the interpreter itself:

{imports}

## Over HTTP: OFREP

One worker, {connections} connections, a hundred flags, beside another server in Python that speaks the protocol:

{remote}

## More of them

`nox -s bench -- NAME` runs one: `floors` (each case beside the shortest client that could be written by hand), `spread` (how even
the time of calls is, and what threads do to it), `flags`, `scale`, `config`, `http`, `direct`, `changes`, `openfeature`, `ofrep`
and `worst` (the costliest rules that are accepted). Each fails below its bounds. `python -m benchmarks.mutation` shows that the
golden decisions in `tests/vectors/engine.json` notice nearly every small change of the engine.
"""


def main() -> int:
    rates: Any = results.kept("cases")
    loaded: Any = results.kept("loading")
    imported: Any = results.kept("imports")
    asked: Any = results.kept("fastfeature")
    scaled: Any = results.kept("scale")
    if None in (rates, loaded, imported, asked, scaled):
        print("some figures are missing: run nox -s bench", file=sys.stderr)
        return 1
    CHARTS.mkdir(exist_ok=True)
    groups = {case: rates[title(case, building=False)] for case in CASES}
    (CHARTS / "cases.svg").write_text(charts.bars("Evaluations a second", groups, OWN, "/s"), encoding="utf-8")
    series = {name: [(float(size), seconds * 1000) for size, (seconds, _) in by.items()] for name, by in loaded.items()}
    (CHARTS / "loading.svg").write_text(charts.lines("Time to load flags", series, "ms", "flags"), encoding="utf-8")
    curves = {f"by {what}": [(size, seconds * 1e9) for size, seconds in points] for what, points in scaled.items()}
    (CHARTS / "scale.svg").write_text(charts.lines("Time of an evaluation", curves, "ns", "flags, users"), encoding="utf-8")
    page = PAGE.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=os.cpu_count(),
        machine=platform.machine(),
        python=platform.python_version(),
        versions=_versions(),
        prebuilt=cases(rates, building=False),
        building=cases(rates, building=True),
        scale=scale(scaled),
        loading=loading(loaded),
        imports=imports(imported),
        remote=remote(asked["rates"]),
        connections=asked["connections"],
    )
    (DOCS / "benchmarks.md").write_text(page, encoding="utf-8")
    print(f"{DOCS / 'benchmarks.md'} was written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
