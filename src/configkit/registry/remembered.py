"""Which services this process knows something of: those that exist for a while, and names without instances briefly."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from configkit import chance
from configkit.calls import SaturatedError
from configkit.models import Instances, ServiceInstance
from configkit.registry.listing import Listing

_SECONDS = 300.0
_MOST = 4096
_EMPTY_SECONDS = 10.0
_MOST_EMPTY = 512

Callback = Callable[[Instances], None]
Flight = Future[SaturatedError | None]
"""An attempt to read a list; its result is the refusal where no worker was free."""


@dataclass(slots=True, eq=False)
class Known:
    """
    What is known of one service. Attributes are swapped, never changed in place, so that reading takes no lock.

    Attributes:
        due: When to read the list again (monotonic).
        error: Why the last attempt failed; None if it did not.
        flight: The attempt under way, since *flight_began*; the registry is asked since *asked_since*.
        again: Something changed while the list was being read.
        told: What the callbacks know.
    """

    name: str
    asked_at: float
    listing: Listing | None = None
    due: float = 0.0
    error: Exception | None = None
    flight: Flight | None = None
    flight_began: float = 0.0
    asked_since: float | None = None
    again: bool = False
    callbacks: tuple[Callback, ...] = ()
    told: tuple[ServiceInstance, ...] | None = None
    turns: Iterator[int] = field(default_factory=lambda: itertools.count(int(chance.random() * 1024)))

    @property
    def lasting(self) -> bool:
        """Whether the service has instances as far as we know, or somebody listens."""
        return bool(self.callbacks) or (self.listing is not None and bool(self.listing.items))


class Remembered:
    """
    What is `Known`, by name. Names without instances have places of their own, few and for seconds: whoever asks for
    thousands of them displaces no service.
    """

    def __init__(self) -> None:
        self._lasting: dict[str, Known] = {}
        self._passing: dict[str, Known] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._lasting) + len(self._passing)

    def get(self, name: str) -> Known | None:
        """Return what is known of *name*; takes no lock."""
        return self._lasting.get(name) or self._passing.get(name)

    def add(self, name: str) -> Known:
        """Return what is known of *name*, which is nothing yet for a new one."""
        with self._lock:
            known = self.get(name)
            if known is None:
                _make_room(self._passing, _MOST_EMPTY)
                known = self._passing[name] = Known(name, time.monotonic())
            return known

    def settle(self, known: Known) -> None:
        """Give *known* the place it deserves by now, unless it was forgotten."""
        place, other = (self._lasting, self._passing) if known.lasting else (self._passing, self._lasting)
        if place.get(known.name) is known:
            return
        with self._lock:
            if other.get(known.name) is known:
                _make_room(place, _MOST if known.lasting else _MOST_EMPTY)
                place[known.name] = known
                del other[known.name]

    def keep(self, known: Known) -> None:
        """Remember *known*, to which somebody listens, even if it was forgotten meanwhile."""
        with self._lock:
            self._passing.pop(known.name, None)
            self._lasting[known.name] = known

    def all(self) -> list[Known]:
        """Return everything that is known: what exists first, and there what was asked for last."""
        with self._lock:
            lasting, passing = list(self._lasting.values()), list(self._passing.values())
        lasting.sort(key=lambda known: known.asked_at, reverse=True)
        return lasting + passing

    def forget_idle(self, now: float) -> None:
        """Forget what nobody asks for any more."""
        with self._lock:
            for place, seconds in ((self._lasting, _SECONDS), (self._passing, _EMPTY_SECONDS)):
                idle = [one.name for one in place.values() if not one.callbacks and now - one.asked_at > seconds]
                for name in idle:
                    del place[name]

    def forget_empty(self) -> None:
        """Forget the names without instances: the next question reads whether that is still so."""
        with self._lock:
            self._passing.clear()

    def after_fork(self) -> None:
        """Begin anew in a forked child: what was in flight is in flight in the parent."""
        self._lock = threading.Lock()
        for known in self.all():
            known.flight, known.asked_since = None, None


def _make_room(place: dict[str, Known], most: int) -> None:
    if len(place) < most:
        return
    idle = min((one for one in place.values() if not one.callbacks), key=lambda one: one.asked_at, default=None)
    if idle is not None:
        del place[idle.name]
