"""What the command prints: data on the standard output, as tables for people or JSON for machines; the rest on the other."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from configkit.values import MASK, JsonValue

Cell = object
LONGEST_CELL = 60


@dataclass(frozen=True, slots=True)
class Output:
    """
    Where results go.

    Attributes:
        machine: Print JSON, and errors as JSON too.
    """

    machine: bool = False

    def data(self, document: Any) -> None:
        """Print *document* as JSON."""
        self.line(json.dumps(document, ensure_ascii=not _writes_unicode(sys.stdout), indent=2))

    def line(self, text: str) -> None:
        """Print *text* as it is."""
        sys.stdout.write(f"{text}\n")

    def done(self, text: str, document: Any) -> None:
        """Say what was done: *text* to people, *document* to machines."""
        if self.machine:
            self.data(document)
        else:
            self.line(text)

    def note(self, text: str) -> None:
        """Tell the person something that is no result; it never mixes with data."""
        sys.stdout.flush()
        sys.stderr.write(f"{printable(text)}\n")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, empty: str = "") -> None:
        """
        Print *rows*; where there are none, say *empty* instead, if anything.

        On a terminal it is a table cut to its width; in a pipe the cells are as they are given, and there are no colours.
        """
        texts = [[cell_text(cell) for cell in row] for row in rows]
        if not texts:
            if empty:
                self.note(empty)
        elif is_terminal(sys.stdout):
            _print_rich(columns, texts)
        else:
            for line in _plain([[column.upper() for column in columns], *texts]):
                self.line(line)


def console(stream: TextIO) -> Console:
    """Return a console on *stream* that writes no escape sequence where nobody wants one."""
    colours = is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Console(file=stream, color_system="auto" if colours else None, force_terminal=is_terminal(stream), highlight=False)


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person looks at *stream*."""
    return stream.isatty()


def printable(text: str) -> str:
    """Return *text* in one line that cannot steer a terminal: what is not printable is escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text)


def cell_text(cell: Cell) -> str:
    """Return what a table shows for *cell*."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%d %H:%M:%SZ")
    return printable(str(cell))


def shown(value: JsonValue, *, hidden: bool) -> str:
    """Return *value* as people read it: text as it is, anything else as JSON; the mask where it is *hidden*."""
    if hidden:
        return MASK
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=not _writes_unicode(sys.stdout), separators=(", ", ": "))


def quoted(value: JsonValue, *, hidden: bool) -> str:
    """Return *value* as `shown` does, but text that could be taken for something else as JSON: 8 and "8" differ."""
    text = shown(value, hidden=hidden)
    if hidden or not isinstance(value, str) or not _is_ambiguous(value):
        return text
    return json.dumps(value, ensure_ascii=not _writes_unicode(sys.stdout))


def in_table(value: JsonValue, *, hidden: bool) -> str:
    """Return *value* as `quoted` does, cut to what fits into a column."""
    text = quoted(value, hidden=hidden)
    if len(text) <= LONGEST_CELL:
        return text
    end = "…" if _writes_unicode(sys.stdout) else "..."
    return text[: LONGEST_CELL - len(end)] + end


def counted(number: int, noun: str) -> str:
    """Return *number* with *noun*, which takes an s where it is not one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def timestamp(at: datetime | None) -> str | None:
    """Return *at* as RFC 3339 has it, in UTC."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _print_rich(columns: Sequence[str], rows: list[list[str]]) -> None:
    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    console(sys.stdout).print(table)


def _plain(rows: list[list[str]]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _is_ambiguous(text: str) -> bool:
    """Whether *text* would be read as JSON, or not be seen at all."""
    try:
        json.loads(text)
    except RecursionError:
        return True
    except ValueError:
        return text != text.strip() or not text
    return True


def _writes_unicode(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
