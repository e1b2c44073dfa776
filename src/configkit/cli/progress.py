"""A bar for what takes longer than a person likes to wait without a sign."""

from __future__ import annotations

import sys
import time
from typing import Self

from rich.progress import Progress as Bar
from rich.progress import TaskID

from configkit.cli.output import console, is_terminal

PATIENCE = 2.0


class Progress:
    """
    Counts steps, and on a terminal shows a bar of them.

    Args:
        patience: Seconds until it shows.
    """

    def __init__(self, text: str, total: int, *, patience: float = PATIENCE) -> None:
        self._text, self._total, self._patience = text, total, patience
        self._done = 0
        self._begun = time.monotonic()
        self._bar: Bar | None = None
        self._task = TaskID(0)

    def step(self) -> None:
        """Count one step."""
        self._done += 1
        if self._bar is None and time.monotonic() - self._begun >= self._patience and is_terminal(sys.stderr):
            self._bar = Bar(console=console(sys.stderr), transient=True)
            self._task = self._bar.add_task(self._text, total=self._total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
