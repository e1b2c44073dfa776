"""Waiting that is mostly none: begun at once, and gone on with only if it has to be."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Begun(Generic[T]):
    """
    An awaitable, run as far as it comes without waiting; awaiting this goes on with it.

    So a deadline, which costs more than most requests' bodies do, need be set only for those that keep us waiting.
    It is to be awaited by the task that has begun it.

    Attributes:
        is_done: Whether it came to its end; then `result` is what it returned.
    """

    __slots__ = ("_awaited", "_steps", "is_done", "result")

    result: T

    def __init__(self, awaitable: Awaitable[T]) -> None:
        self._steps = awaitable.__await__()
        self.is_done = False
        self._go(None)

    def __await__(self) -> Generator[Any, Any, T]:
        while not self.is_done:
            try:
                sent = yield self._awaited
            except BaseException as error:  # noqa: BLE001  it is the coroutine's, a cancellation above all
                self._go(error)
            else:
                self._go(sent)
        return self.result

    def _go(self, sent: Any) -> None:
        try:
            self._awaited = self._steps.throw(sent) if isinstance(sent, BaseException) else self._steps.send(sent)
        except StopIteration as end:
            self.is_done, self.result = True, end.value
