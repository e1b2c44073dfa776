"""
Reading known keys back at a bounded rate, so that what others wrote straight into the store is found.

Nobody announces such a change. Each key that is known, and each service whose keys are all known, has its turn; how long
a whole round takes is how long such a change can stay unseen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from configkit.models import ConfigPath

Service = tuple[str, str]

LEAST_CYCLE = 5.0
"""Seconds between the beginnings of two rounds, however few keys are known."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is read back next: one key, or a whole service of *keys* keys."""

    target: ConfigPath | Service
    keys: int = 1


class Readback:
    """
    Whose turn it is. Decisions only: time is told, and reading is somebody else's.

    Args:
        rate: Keys per second at most.
        known: Returns everything that is to have a turn in a round.

    Attributes:
        cycle_seconds: How long the last whole round took; None before the first one has ended.
    """

    def __init__(self, rate: float, known: Callable[[], list[Turn]]) -> None:
        self._rate = rate
        self._known = known
        self._left: deque[Turn] = deque()
        self._budget = 0.0
        self._last: float | None = None
        self._began: float | None = None
        self._read_at: dict[ConfigPath | Service, float] = {}
        self.cycle_seconds: float | None = None

    def due(self, now: float) -> list[Turn]:
        """Return what is to be read back at *now*, in seconds; to be asked several times a second."""
        if self._last is not None:
            self._budget = min(self._budget + (now - self._last) * self._rate, self._rate)
        self._last = now
        turns: list[Turn] = []
        while self._budget > 0 and (turn := self._next(now)) is not None:
            self._budget -= turn.keys
            turns.append(turn)
            if not self._left:
                break
        return turns

    def _next(self, now: float) -> Turn | None:
        if not self._left:
            if self._began is not None:
                if now < self._began + LEAST_CYCLE:
                    return None
                self.cycle_seconds = now - self._began
            self._left.extend(self._longest_unread_first(self._known()))
            self._began = now if self._left else None
        if not self._left:
            return None
        turn = self._left.popleft()
        self._read_at[turn.target] = now
        return turn

    def _longest_unread_first(self, turns: list[Turn]) -> list[Turn]:
        """Return *turns* in an order in which nothing waits for much longer than a round, whatever order they came in."""
        self._read_at = {turn.target: self._read_at.get(turn.target, -inf) for turn in turns}
        return sorted(turns, key=lambda turn: self._read_at[turn.target])
