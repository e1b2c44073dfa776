"""Blocking calls of the core from the event loop: a bounded pool, a deadline for each, and no waiting behind a full one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from math import inf
from typing import ParamSpec, TypeVar

from configkit.calls import Calls
from configkit.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")

SLACK = 0.05
"""The core's own deadline comes first, so that its error is the one that is told."""

_ENDS: ContextVar[float] = ContextVar("ends", default=inf)
"""When the present request is to be answered at the latest (monotonic)."""


class Executor:
    """
    Runs blocking calls on threads of its own.

    Args:
        deadline: Seconds until a call is given up.
    """

    def __init__(self, *, workers: int = 32, waiting: int = 256, deadline: float = 5.0) -> None:
        self._calls = Calls(workers=workers, waiting=waiting, deadline=deadline)
        self._deadline = deadline + SLACK

    def begin_request(self, *, spent: float) -> None:
        """Give everything that the present request will `run` one deadline in common, of which *spent* seconds are over."""
        _ENDS.set(time.monotonic() + self._deadline - spent)

    @property
    def left(self) -> float:
        """Seconds that the present request still has."""
        return min(self._deadline, max(0.0, _ENDS.get() - time.monotonic()))

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Return what *call* returns, or raise what it raises.

        Raises:
            UnavailableError: No answer within the deadline of the call or of the request, or too many calls are waiting.
        """
        return await self.run_within(self.left, call, *args, **kwargs)

    async def run_within(self, deadline: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do as `run` does, with a deadline of its own in seconds."""
        future = asyncio.wrap_future(self._calls.submit(call, *args, **kwargs))
        try:
            async with asyncio.timeout(deadline):
                return await future
        except TimeoutError:
            if future.done() and not future.cancelled():
                raise
            raise UnavailableError(f"no answer within {deadline:g} s", backend="server", operation="call") from None

    async def run_to_end(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Do as `run` does, but wait for a call that has begun, however long: what became of it is known then.

        Raises:
            UnavailableError: It did not begin within the deadline, and never will.
        """
        begun = self._calls.submit(call, *args, **kwargs)
        future = asyncio.wrap_future(begun)
        await asyncio.wait({future}, timeout=self._deadline)
        if not future.done() and begun.cancel():
            raise UnavailableError("too many calls are waiting", backend="server", operation="call", nothing_changed=True)
        return await future

    def close(self) -> None:
        """Accept nothing new; what runs is left to its own deadline."""
        self._calls.close(within=1.0)
