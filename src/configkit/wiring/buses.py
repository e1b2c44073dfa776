"""Several ways to hear of changes, as one: while one of them is away the others go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from configkit import chance
from configkit.errors import ClosedError, ConfigKitError, UnavailableError
from configkit.models import Event, Resync
from configkit.ports import EventBus

logger = logging.getLogger("configkit.bus")

FIRST_SECONDS = 0.5
"""How long a subscription waits for the buses that take their time; a start without them must not take longer."""
RETRY_SECONDS = (0.5, 5.0)

Deliver = Callable[[Event], None]


class MergedBus:
    """
    An `EventBus` of several, of which any one suffices.

    What cannot be subscribed to yet is tried again in the background; once it works, a `Resync` says that something may
    have been missed until then. An event may come once from each.

    Args:
        buses: By name, for the log.
    """

    def __init__(self, buses: Mapping[str, EventBus]) -> None:
        self._buses = buses
        self._subscriptions: set[_Subscription] = set()

    def subscribe(self, deliver: Deliver) -> Callable[[], None]:
        """Deliver the events of every bus. Raises `UnavailableError` where none of them can be reached."""
        subscription = _Subscription(self._buses, deliver)
        self._subscriptions.add(subscription)

        def end() -> None:
            self._subscriptions.discard(subscription)
            subscription.end()

        if not subscription.begin(FIRST_SECONDS):
            end()
            raise UnavailableError("no bus can be reached", backend="events", operation="subscribe")
        return end

    @property
    def waiting(self) -> tuple[str, ...]:
        """The buses that some subscriber still waits for."""
        return tuple(sorted({name for subscription in self._subscriptions for name in subscription.waiting}))

    def close(self) -> None:
        """End every subscription."""
        for subscription in list(self._subscriptions):
            subscription.end()
        self._subscriptions.clear()

    def after_fork(self) -> None:
        """Forget the subscribers: the client subscribes again."""
        self._subscriptions = set()


class _Subscription:
    def __init__(self, buses: Mapping[str, EventBus], deliver: Deliver) -> None:
        self._buses = buses
        self._deliver = deliver
        self._one_at_a_time = threading.Lock()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ends: list[Callable[[], None]] = []
        self._progress = threading.Condition()
        self._undecided = set(buses)
        self._returned = False
        self.waiting = set(buses)

    def begin(self, seconds: float) -> bool:
        """Subscribe to every bus; return whether one is heard by the time all were tried, or *seconds* have passed."""
        for name in self._buses:
            threading.Thread(target=self._keep_trying, args=(name,), name=f"configkit-subscribe-{name}", daemon=True).start()
        with self._progress:
            self._progress.wait_for(lambda: not self._undecided, seconds)
            self._returned = True
        return self.waiting != set(self._buses)

    def end(self) -> None:
        with self._lock:
            self._ended.set()
            ends, self._ends = self._ends, []
        for end in ends:
            end()

    def _take(self, event: Event) -> None:
        with self._one_at_a_time:
            if not self._ended.is_set():
                self._deliver(event)

    def _keep_trying(self, name: str) -> None:
        pause, late = RETRY_SECONDS[0], False
        while not self._ended.is_set():
            try:
                self._adopt(self._buses[name].subscribe(self._take))
            except ClosedError:
                return
            except ConfigKitError as error:
                if not late:
                    logger.warning("%s cannot tell of changes yet; trying on: %s", name, error)
                late = True
                self._decided(name)
                self._ended.wait(pause * chance.uniform(0.7, 1.0))
                pause = min(2 * pause, RETRY_SECONDS[1])
            else:
                self.waiting.discard(name)
                if self._decided(name) or late:
                    logger.info("%s tells of changes", name)
                    self._take(Resync(f"{name} was away"))
                return

    def _adopt(self, end: Callable[[], None]) -> None:
        with self._lock:
            if not self._ended.is_set():
                self._ends.append(end)
                return
        end()

    def _decided(self, name: str) -> bool:
        """Take note that *name* was tried; return whether `begin` has already returned without waiting for it."""
        with self._progress:
            self._undecided.discard(name)
            self._progress.notify_all()
            return self._returned


class WatchBus:
    """
    An `EventBus` of something that calls back with the name of a service whose instances have changed.

    Args:
        listen: Takes the callback and returns what ends it.
        event: Makes the event of a name.
    """

    def __init__(self, listen: Callable[[Callable[[str], None]], Callable[[], None]], event: Callable[[str], Event]) -> None:
        self._listen = listen
        self._event = event

    def subscribe(self, deliver: Deliver) -> Callable[[], None]:
        """Deliver an event for each change."""

        def tell(name: str) -> None:
            try:
                deliver(self._event(name))
            except Exception:
                logger.exception("a subscriber failed on a change of %s", name)

        return self._listen(tell)
