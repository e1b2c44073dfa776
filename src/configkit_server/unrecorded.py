"""Outcomes of requests with an Idempotency-Key that are not recorded yet: kept here, and recorded as soon as that works."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from configkit import chance
from configkit.errors import ClosedError
from configkit.ports import IdempotencyStore, Outcome
from configkit_server.executor import Executor

logger = logging.getLogger("configkit.server")

MOST = 1000
"""So many are kept; then no further request with a key is begun, rather than one forgotten."""
KEPT_SECONDS = 24 * 3600.0
PATIENCE_SECONDS = 1.0
"""So long an answer waits for its record: a repetition may go to another server."""
LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Unsaid:
    """What became of one request; an outcome of None means that it may be tried again."""

    store: IdempotencyStore
    fingerprint: str
    outcome: Outcome | None


class Unrecorded:
    """The outcomes that this process alone knows."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._known: dict[str, Unsaid] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turn = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """Whether no further request may be begun."""
        return len(self._known) >= MOST

    def find(self, key: str) -> Unsaid | None:
        """Return what became of the request with *key*, where only this process knows it."""
        return self._known.get(key)

    async def keep(self, store: IdempotencyStore, key: str, fingerprint: str, outcome: Outcome | None) -> None:
        """Record *outcome*; what takes longer than a moment goes on in the background."""
        self._known[key] = Unsaid(store, fingerprint, outcome)
        recording = asyncio.create_task(self._record(key))
        self.watch(recording)
        await asyncio.wait({recording}, timeout=PATIENCE_SECONDS)

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Keep *task* alive to its end; what it raises has been told to whom it concerns."""
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        """Let what is under way end, and try once more to record what is left; both for a moment."""
        await _finish(self._tasks)
        left = {key: unsaid for key, unsaid in self._known.items() if unsaid.outcome is not None}
        await _finish({asyncio.create_task(self._say(key, unsaid)) for key, unsaid in left.items()})

    async def _record(self, key: str) -> None:
        unsaid = self._known[key]
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + KEPT_SECONDS, 0.1
        done = await self._say(key, unsaid)
        if not done:
            logger.warning("the outcome of a request with an Idempotency-Key could not be recorded yet; this goes on")
        while not done and loop.time() < end:
            await asyncio.sleep(pause * chance.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)
            async with self._turn:  # one at a time, so that they do not keep others from writing
                done = await self._say(key, unsaid)
        self._known.pop(key, None)

    async def _say(self, key: str, unsaid: Unsaid) -> bool:
        try:
            await self._executor.run_to_end(unsaid.store.finish, key, unsaid.outcome)
        except ClosedError:
            return True
        except Exception as error:  # noqa: BLE001  whatever it was: an outcome that is forgotten is a request carried out twice
            logger.debug("not recorded: %s", type(error).__name__)
            return False
        return True


async def _finish(tasks: Iterable[asyncio.Task[Any]]) -> None:
    tasks = set(tasks)
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=PATIENCE_SECONDS)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
