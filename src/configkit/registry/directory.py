"""The lists of instances that this process keeps up to date."""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from configkit.calls import Calls
from configkit.errors import ConfigKitError, UnavailableError
from configkit.models import Event, Instances, RegistryChanged, Resync, ServiceInstance, utcnow
from configkit.names import check_service_name
from configkit.ports import ServiceRegistryClient
from configkit.registry.listing import Listing, substance
from configkit.registry.remembered import RememberedLists

logger = logging.getLogger("configkit.registry")

_GRACE_SECONDS = 3.0
_RETRY_SECONDS = 1.0
_REMEMBERED_SECONDS = 300.0
_MOST_SERVICES = 4096

Callback = Callable[[Instances], None]


@dataclass(slots=True, eq=False)
class Known:
    """
    What is known of one service. Attributes are swapped, never changed in place, so that reading takes no lock.

    Attributes:
        due: When to read the list again (monotonic).
        error: Why the last attempt failed; None if it did not.
        again: Something changed while the list was being read.
        told: What the callbacks know.
    """

    name: str
    asked_at: float
    listing: Listing | None = None
    due: float = 0.0
    error: Exception | None = None
    flight: Future[None] | None = None
    flight_began: float = 0.0
    again: bool = False
    callbacks: tuple[Callback, ...] = ()
    told: tuple[ServiceInstance, ...] | None = None
    turns: Iterator[int] = field(default_factory=lambda: itertools.count(random.randrange(1024)))  # noqa: S311

    def overdue(self, now: float) -> bool:
        """Return whether the list should have been read again long ago."""
        return now >= self.due + _GRACE_SECONDS


class Directory:
    """
    Lists of instances, each read once under a deadline and then kept up to date in the background: by events, and by
    `retry_due`, since leases end without an event.

    Where the registry cannot be reached the last list is served, marked stale, for *max_stale* seconds.
    """

    def __init__(
        self,
        client: ServiceRegistryClient,
        calls: Calls,
        *,
        max_stale: float,
        refresh: float,
        remembered: RememberedLists | None = None,
    ) -> None:
        self._client = client
        self._calls = calls
        self._remembered = remembered
        self._max_stale = max_stale
        self._refresh = refresh
        self._known: dict[str, Known] = {}
        self._lock = threading.Lock()

    @property
    def stale(self) -> bool:
        """Whether some list could not be read again."""
        return any(known.error is not None for known in self._all())

    def peek(self, name: str) -> Instances | None:
        """Return the list if that needs no waiting; None: `read` it."""
        known = self._known.get(name)
        if known is None or known.listing is None:
            return None
        known.asked_at = now = time.monotonic()
        if known.overdue(now):
            self._begin(known)
        return self._shown(known, now)

    def read(self, name: str, *, fresh: bool = False) -> Instances:
        """
        Return the list, reading it now where it is unknown, too old, or asked for *fresh*.

        Raises:
            UnavailableError: The registry cannot be reached, and there is no list young enough.
        """
        known = self.entry(name)
        known.asked_at = now = time.monotonic()
        failed_just_now = known.error is not None and now < known.due
        if fresh or not failed_just_now:
            self._wait(known, fresh=fresh)
        shown = self._shown(known, time.monotonic())
        if shown is None:
            raise known.error or UnavailableError("the registry did not answer", backend="registry", operation="instances")
        return shown

    def entry(self, name: str) -> Known:
        """Return what is known of *name*, which may be nothing yet. Raises `InvalidDocumentError` for what is no name."""
        known = self._known.get(name) if isinstance(name, str) else None
        if known is None:
            check_service_name(name, foreign=True)
            with self._lock:
                if len(self._known) >= _MOST_SERVICES:
                    self._forget_one()
                known = self._known.setdefault(name, Known(name, time.monotonic()))
        return known

    def on_change(self, name: str, callback: Callback) -> Callable[[], None]:
        """Call *callback* whenever the instances become others than those known now; the answer ends it."""
        known = self.entry(name)
        with self._lock:
            if not known.callbacks:
                known.told = substance(known.listing.items) if known.listing else None
            known.callbacks = (*known.callbacks, callback)
            self._known[name] = known
        if known.listing is None:
            self._begin(known)

        def end() -> None:
            with self._lock:
                known.callbacks = tuple(one for one in known.callbacks if one is not callback)

        return end

    def on_event(self, event: Event) -> None:
        """Read again what *event* is about."""
        if isinstance(event, RegistryChanged):
            known = self._known.get(event.service_name)
            if known is not None:
                self._begin(known, again=True)
        elif isinstance(event, Resync):
            now = time.monotonic()
            for known in self._all():
                known.due = min(known.due, now)

    def retry_due(self) -> None:
        """Begin to read the lists that are due, and forget those nobody asks for; called every 0.25 s or so."""
        now = time.monotonic()
        for known in self._all():
            if not known.callbacks and now - known.asked_at > _REMEMBERED_SECONDS:
                with self._lock:
                    self._known.pop(known.name, None)
            elif now >= known.due:
                self._begin(known)
            elif known.listing is not None and now >= known.listing.first_end:
                self._tell(known)

    def after_fork(self) -> None:
        """Begin anew in a forked child: what was in flight is in flight in the parent."""
        self._lock = threading.Lock()
        for known in self._all():
            known.flight = None

    def _all(self) -> list[Known]:
        with self._lock:
            return list(self._known.values())

    def _forget_one(self) -> None:
        idle = min((one for one in self._known.values() if not one.callbacks), key=lambda one: one.asked_at, default=None)
        if idle is not None:
            del self._known[idle.name]

    def _shown(self, known: Known, now: float) -> Instances | None:
        listing, error = known.listing, known.error
        if listing is None:
            return None
        if error is None and not known.overdue(now):
            return Instances(listing.alive(now))
        if now - listing.read_at > self._max_stale or not (error is None or isinstance(error, UnavailableError)):
            return None
        # A registry that cannot be reached takes no heartbeat either: what its leases say means nothing meanwhile.
        return Instances(listing.items, stale=True)

    def _begin(self, known: Known, *, again: bool = False) -> Future[None]:
        """Begin to read the list unless that is under way; *again*: then once more afterwards. A lost attempt is given up."""
        now = time.monotonic()
        with self._lock:
            if known.flight is not None and now - known.flight_began < 2 * self._calls.deadline:
                known.again |= again
                return known.flight
            flight: Future[None] = Future()
            known.flight, known.flight_began, known.again = flight, now, False
        try:
            self._calls.submit(self._fetch, known, flight)
        except ConfigKitError as error:
            self._land(known, flight, error)
        return flight

    def _wait(self, known: Known, *, fresh: bool) -> None:
        end = time.monotonic() + self._calls.deadline
        flight = self._begin(known, again=fresh)
        try:
            flight.result(timeout=self._calls.deadline)
            # That reading may have begun before what the caller must see: another has begun then.
            if fresh and (follower := known.flight) is not None:
                follower.result(timeout=max(0.0, end - time.monotonic()))
        except TimeoutError:
            message = f"no answer within {self._calls.deadline:g} s"
            raise UnavailableError(message, backend="registry", operation="instances") from None

    def _fetch(self, known: Known, flight: Future[None]) -> None:
        began = time.monotonic()
        try:
            items = tuple(self._client.instances(known.name))
        except Exception as error:  # noqa: BLE001  kept, and raised to whoever asks
            if known.listing is None and isinstance(error, UnavailableError):
                known.listing = self._recall(known.name)
            self._land(known, flight, error)
        else:
            if self._remembered is not None:
                self._remembered.keep(known.name, items)
            self._land(known, flight, Listing.of(items, read_at=began, now=utcnow()))

    def _recall(self, name: str) -> Listing | None:
        """Return the list that another process, or this one before it was started again, has read last."""
        found = None if self._remembered is None else self._remembered.find(name)
        return None if found is None else Listing.of(found[0], read_at=time.monotonic() - found[1], now=utcnow())

    def _land(self, known: Known, flight: Future[None], result: Listing | Exception) -> None:
        with self._lock:
            current = known.flight is flight
            if current:
                known.flight = None
                if isinstance(result, Listing):
                    known.listing, known.error, known.due = result, None, result.next_read(self._refresh)
                else:
                    known.error = result
                    known.due = time.monotonic() + random.uniform(0.5, 1.0) * _RETRY_SECONDS  # noqa: S311
            again, known.again = current and known.again, False
        if again:
            self._begin(known)
        flight.set_result(None)
        self._tell(known)

    def _tell(self, known: Known) -> None:
        """Tell the callbacks if the instances are others than they know."""
        if not known.callbacks or known.listing is None or known.error is not None:
            return
        found = known.listing.alive(time.monotonic())
        with self._lock:
            same = substance(found) == known.told
            known.told = substance(found)
        if same:
            return
        for callback in known.callbacks:
            try:
                callback(Instances(found))
            except Exception:
                logger.exception("a callback for changes of %s failed", known.name)
