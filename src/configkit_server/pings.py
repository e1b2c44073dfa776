"""Asking the backends how they are: under a deadline, and not more often than twice a second, whoever asks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from configkit_server.executor import Executor

logger = logging.getLogger("configkit.server")

KEPT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Ping:
    """
    What became of asking one backend.

    Attributes:
        error: The kind of what went wrong; None: it answered.
    """

    latency_ms: float
    error: str | None


class Pings:
    """The named checks of a deployment's backends."""

    def __init__(self, checks: Mapping[str, Callable[[], None]], executor: Executor) -> None:
        self._checks = checks
        self._executor = executor
        self._asking: asyncio.Task[dict[str, Ping]] | None = None
        self._asked_at = 0.0

    async def ask(self, seconds: float) -> dict[str, Ping]:
        """Return what each backend answers within *seconds*; what was asked a moment ago is not asked again."""
        now = time.monotonic()
        if self._asking is None or (self._asking.done() and now > self._asked_at + KEPT_SECONDS):
            self._asked_at = now
            self._asking = asyncio.create_task(self._ask_all(seconds))
        return await asyncio.shield(self._asking)

    async def _ask_all(self, seconds: float) -> dict[str, Ping]:
        found = await asyncio.gather(*(self._ask(check, seconds) for check in self._checks.values()))
        return dict(zip(self._checks, found, strict=True))

    async def _ask(self, check: Callable[[], None], seconds: float) -> Ping:
        began = time.perf_counter()
        error = None
        try:
            await self._executor.run_within(seconds, check)
        except Exception as failure:  # noqa: BLE001  whatever a backend's check raises means that it is not well
            error = type(failure).__name__
            logger.warning("a backend is not well: %s", error)
        return Ping(round((time.perf_counter() - began) * 1000, 3), error)
