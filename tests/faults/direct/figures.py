"""What the fault tests have measured, each beside its bound."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    fault: str
    what: str
    value: float
    bound: float
    unit: str
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def row(self) -> tuple[str, str, str, str, str]:
        sign = "≥" if self.at_least else "≤"
        return (
            self.fault,
            self.what,
            f"{self.value:.3g} {self.unit}",
            f"{sign} {self.bound:g} {self.unit}",
            "" if self.kept else "MISSED",
        )


MEASURED: list[Figure] = []


def note(fault: str, what: str, value: float, bound: float, unit: str = "s", *, at_least: bool = False) -> Figure:
    """Keep the figure for the table."""
    figure = Figure(fault, what, value, bound, unit, at_least)
    MEASURED.append(figure)
    return figure


def check(
    fault: str, what: str, value: float, bound: float, unit: str = "s", *, at_least: bool = False, tolerance: float = 0.0
) -> None:
    """Keep the figure for the table, and fail the test if it misses its bound, by more than *tolerance*."""
    figure = note(fault, what, value, bound, unit, at_least=at_least)
    assert figure.kept or (not at_least and value <= bound + tolerance), figure.row()


def table() -> list[str]:
    """Return the lines of the table of everything measured."""
    rows = [("fault", "what", "measured", "bound", ""), *(figure.row() for figure in MEASURED)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
