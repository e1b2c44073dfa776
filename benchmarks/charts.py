"""Charts as SVG, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LEFT, RIGHT, ROW, GAP, HEAD = 760, 190, 80, 18, 14, 54
OWN, OTHER, INK, LINE = "#2f81f7", "#9aa4b2", "#7d8590", "#7d859055"
COLOURS = ("#2f81f7", "#d29922", "#8957e5", "#3fb950")


def bars(title: str, groups: Mapping[str, Mapping[str, float]], own: str, unit: str) -> str:
    """Return groups of horizontal bars on a logarithmic axis, those of *own* in colour."""
    values = [value for group in groups.values() for value in group.values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    span = WIDTH - LEFT - RIGHT

    def at(value: float) -> float:
        return LEFT + span * (math.log10(value) - low) / (high - low)

    parts, y = [_text(0, 18, title, size=15)], HEAD
    for name, group in groups.items():
        parts.append(_text(0, y + 12, name, size=13))
        y += ROW + 2
        for each, value in sorted(group.items(), key=lambda pair: -pair[1]):
            parts.append(_text(LEFT - 8, y + 12, each, anchor="end"))
            colour = OWN if each == own else OTHER
            parts.append(f'<rect x="{LEFT}" y="{y + 2}" width="{at(value) - LEFT:.1f}" height="{ROW - 5}" fill="{colour}"/>')
            parts.append(_text(at(value) + 5, y + 12, _short(value)))
            y += ROW
        y += GAP
    grid = [
        f'<line x1="{at(10**power):.1f}" y1="{HEAD - 8}" x2="{at(10**power):.1f}" y2="{y - GAP}" stroke="{LINE}"/>'
        + _text(at(10**power), HEAD - 13, f"{_short(10**power)}{unit if power == high else ''}", anchor="middle")
        for power in range(low, high + 1)
    ]
    return _svg(grid + parts, y)


def lines(title: str, series: Mapping[str, Sequence[tuple[float, float]]], unit: str, below: str) -> str:
    """Return lines over logarithmic axes."""
    height, top, foot = 340, 40, 60
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    x_low, x_high = math.log10(min(xs)), math.log10(max(xs))
    y_low, y_high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def place(x: float, y: float) -> tuple[float, float]:
        across = 60 + (WIDTH - 60 - 140) * (math.log10(x) - x_low) / (x_high - x_low)
        return across, top + (height - top - foot) * (1 - (math.log10(y) - y_low) / (y_high - y_low))

    parts = [_text(0, 18, title, size=15)]
    for power in range(y_low, y_high + 1):
        _, y = place(min(xs), 10**power)
        parts.append(f'<line x1="60" y1="{y:.1f}" x2="{WIDTH - 140}" y2="{y:.1f}" stroke="{LINE}"/>')
        parts.append(_text(52, y + 4, f"{_short(10**power)} {unit}", anchor="end"))
    marks = [(place(x, 10**y_low)[0], f"{x:,.0f}") for x in sorted(set(xs))]
    parts += [_text(x, height - foot + 18, mark, anchor="middle") for x, mark in marks]
    parts.append(_text((WIDTH - 80) / 2, height - foot + 40, below, anchor="middle"))
    for (name, points), colour in zip(series.items(), COLOURS, strict=False):
        placed = [place(x, y) for x, y in points]
        shown = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{shown}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(placed[-1][0] + 8, placed[-1][1] + 4, name, colour=colour))
    return _svg(parts, height)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(text)}</text>'


def _svg(parts: Sequence[str], height: float) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="system-ui, sans-serif">'
    return "\n".join([head, *parts, "</svg>", ""])


def _short(value: float) -> str:
    for size, mark in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{mark}"
    return f"{value:.3g}"
