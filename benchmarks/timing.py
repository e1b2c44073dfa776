"""Figures that mean the same on every machine: how fast something is beside its floor, measured in turns."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

BATCH_SECONDS = 0.1
SLICES = 10


@dataclass(frozen=True)
class Figure:
    """
    What was measured of one candidate.

    Attributes:
        seconds: For one call of it, median over the rounds.
        ratio: Its speed beside the floor's, median over the rounds: 0.7 is 70 % as fast.
        lowest, highest: The extremes of that ratio, which show how calm the machine was.
    """

    seconds: float
    ratio: float
    lowest: float
    highest: float


def ratios(
    candidates: dict[str, Callable[[], None]], rounds: int = 5, *, batch_seconds: float = BATCH_SECONDS
) -> dict[str, Figure]:
    """
    Measure every candidate beside the first one, the floor.

    In each round all take turns in slices, forwards and backwards, for about *batch_seconds* each; the round's time of a
    candidate is its least disturbed slice, and ratios are taken within a round. So neither a machine that slows down nor
    one that does something else in between favours anybody.
    """
    repeats = {name: _repeats(call, batch_seconds / SLICES) for name, call in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        best = dict.fromkeys(candidates, float("inf"))
        for number in range(SLICES):
            for name in candidates if number % 2 == 0 else reversed(candidates):
                best[name] = min(best[name], _timed(candidates[name], repeats[name]))
        for name, seconds in best.items():
            times[name].append(seconds)
    floor = next(iter(times.values()))
    return {name: _figure(measured, floor) for name, measured in times.items()}


def best(call: Callable[[], None], passes: int) -> float:
    """Return the seconds of the quickest of some *passes*."""
    return min(_timed(call, 1) for _ in range(passes))


def table(title: str, figures: dict[str, Figure], *, operations: int = 1, bounds: dict[str, float] | None = None) -> str:
    """Return *figures* as text, where one call did *operations* operations, each beside its lower bound."""
    rows: list[Sequence[str]] = [("", "per operation", "operations/s", "of the floor", "(range)", "bound", "")]
    for name, figure in figures.items():
        bound = (bounds or {}).get(name)
        each = figure.seconds / operations
        rows.append(
            (
                name,
                _duration(each),
                f"{1 / each:,.0f}",
                f"{figure.ratio:.0%}",
                f"{figure.lowest:.0%}-{figure.highest:.0%}",
                "" if bound is None else f">= {bound:.0%}",
                "" if bound is None else "ok" if figure.ratio >= bound else "MISSED",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(_cell(text, width, left=not at) for at, (text, width) in enumerate(zip(row, widths, strict=True))) for row in rows
    ]
    return "\n".join([title, "-" * len(title), *(line.rstrip() for line in lines)])


def met(figures: dict[str, Figure], bounds: dict[str, float]) -> bool:
    """Return whether every bound is kept."""
    return all(figures[name].ratio >= bound for name, bound in bounds.items())


def _repeats(call: Callable[[], None], batch_seconds: float) -> int:
    call()
    return max(1, round(batch_seconds / max(_timed(call, 1), 1e-7)))


def _timed(call: Callable[[], None], repeats: int) -> float:
    collecting = gc.isenabled()
    gc.disable()
    try:
        begin = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - begin) / repeats
    finally:
        if collecting:
            gc.enable()


def _figure(measured: list[float], floor: list[float]) -> Figure:
    beside = [base / own for base, own in zip(floor, measured, strict=True)]
    return Figure(statistics.median(measured), statistics.median(beside), min(beside), max(beside))


def _duration(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.2f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _cell(text: str, width: int, *, left: bool) -> str:
    return text.ljust(width) if left else text.rjust(width)
