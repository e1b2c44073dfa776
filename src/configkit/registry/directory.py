"""The lists of instances that this process keeps up to date."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from configkit import chance
from configkit.calls import Calls, SaturatedError
from configkit.errors import ConfigKitError, UnavailableError
from configkit.models import Event, Instances, RegistryChanged, Resync, utcnow
from configkit.names import check_service_name
from configkit.ports import ServiceRegistryClient
from configkit.registry.listing import SELDOM_SECONDS, Listing, substance
from configkit.registry.remembered import Callback, Flight, Known, Remembered
from configkit.registry.shared import SharedLists

logger = logging.getLogger("configkit.registry")

_GRACE_SECONDS = 3.0
_RETRY_SECONDS = 1.0
_TICK_SECONDS = 0.25
_MOST_FLIGHTS = 32


class Directory:
    """
    Lists of instances, each read once under a deadline and then kept up to date in the background: by events, and by
    `retry_due`, since leases end without an event. However many are due, a few are read at a time, those of services
    that have instances first: the workers are there for other calls too.

    Where the registry cannot be reached the last list is served, marked stale, for *max_stale* seconds.
    """

    def __init__(
        self,
        client: ServiceRegistryClient,
        calls: Calls,
        *,
        max_stale: float,
        refresh: float,
        remembered: SharedLists | None = None,
    ) -> None:
        self._client = client
        self._calls = calls
        self._remembered = remembered
        self._max_stale = max_stale
        self._refresh = refresh
        self._known = Remembered()
        self._lock = threading.Lock()

    @property
    def stale(self) -> bool:
        """Whether some list could not be read again."""
        return any(known.error is not None for known in self._known.all())

    def peek(self, name: str) -> Instances | None:
        """Return the list if that needs no waiting; None: `read` it."""
        known = self._known.get(name)
        if known is None or known.listing is None:
            return None
        known.asked_at = now = time.monotonic()
        if now >= known.due + _GRACE_SECONDS:
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
        refused = self._wait(known, fresh=fresh) if fresh or not failed_just_now else None
        shown = self._shown(known, time.monotonic())
        if shown is None:
            unanswered = UnavailableError("the registry did not answer", backend="registry", operation="instances")
            raise known.error or refused or unanswered
        return Instances(shown.items, stale=True) if fresh and refused else shown

    def entry(self, name: str) -> Known:
        """Return what is known of *name*, which may be nothing yet. Raises `InvalidDocumentError` for what is no name."""
        known = self._known.get(name) if isinstance(name, str) else None
        if known is None:
            check_service_name(name, foreign=True)
            known = self._known.add(name)
        return known

    def on_change(self, name: str, callback: Callback) -> Callable[[], None]:
        """Call *callback* whenever the instances become others than those known now; the answer ends it."""
        known = self.entry(name)
        with self._lock:
            if not known.callbacks:
                known.told = substance(known.listing.items) if known.listing else None
            known.callbacks = (*known.callbacks, callback)
        self._known.keep(known)
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
            self._known.forget_empty()
            self._spread(self._known.all())

    def retry_due(self) -> None:
        """Begin to read the lists that are due, and forget those nobody asks for; called every 0.25 s or so."""
        now = time.monotonic()
        self._known.forget_idle(now)
        everything = self._known.all()
        room = _MOST_FLIGHTS - sum(self._under_way(known, now) for known in everything)
        for known in everything:
            if now >= known.due:
                if room > 0 and not self._under_way(known, now):
                    room -= 1
                    self._begin(known)
            elif known.listing is not None and now >= known.listing.first_end:
                self._tell(known)

    def after_fork(self) -> None:
        """Begin anew in a forked child: what was in flight is in flight in the parent."""
        self._lock = threading.Lock()
        self._known.after_fork()

    def _spread(self, everything: list[Known]) -> None:
        """Let all lists be read again soon, as many at a time as are read at once: the first now."""
        now = time.monotonic()
        with self._lock:
            for place, known in enumerate(everything):
                delay = place // _MOST_FLIGHTS * _TICK_SECONDS
                known.due = min(known.due, now + delay * chance.uniform(0.8, 1.2))
                known.again |= known.flight is not None

    def _shown(self, known: Known, now: float) -> Instances | None:
        listing, error = known.listing, known.error
        if listing is None:
            return None
        if error is None and not self._unanswered(known, listing, now):
            return Instances(listing.alive(now))
        if now - listing.read_at > self._max_stale or not (error is None or isinstance(error, UnavailableError)):
            return None
        # A registry that cannot be reached takes no heartbeat either: what its leases say means nothing meanwhile.
        return Instances(listing.items, stale=True)

    def _unanswered(self, known: Known, listing: Listing, now: float) -> bool:
        """Whether the registry owes an answer. That a reading has to wait for its turn here says nothing of it."""
        if known.asked_since is not None and now - known.asked_since >= _GRACE_SECONDS:
            return True
        if known.flight is not None and now - known.flight_began >= self._calls.deadline:
            return True
        return now - listing.read_at >= 2 * max(self._refresh, SELDOM_SECONDS)

    def _under_way(self, known: Known, now: float) -> bool:
        return known.flight is not None and now - known.flight_began < 2 * self._calls.deadline

    def _begin(self, known: Known, *, again: bool = False) -> Flight:
        """Begin to read the list unless that is under way; *again*: then once more afterwards. A lost attempt is given up."""
        now = time.monotonic()
        with self._lock:
            if known.flight is not None:
                if self._under_way(known, now):
                    known.again |= again
                    return known.flight
                known.error = known.error or self._no_answer()
            flight: Flight = Future()
            known.flight, known.flight_began, known.asked_since, known.again = flight, now, None, False
        try:
            self._calls.submit(self._fetch, known, flight)
        except ConfigKitError as error:
            self._land(known, flight, error)
        return flight

    def _wait(self, known: Known, *, fresh: bool) -> SaturatedError | None:
        """Wait until the list was read, and return the refusal if it was not for want of a worker."""
        end = time.monotonic() + self._calls.deadline
        flight = self._begin(known, again=fresh)
        try:
            refused = flight.result(timeout=self._calls.deadline)
            # That reading may have begun before what the caller must see: another has begun then.
            if fresh and (follower := known.flight) is not None:
                refused = follower.result(timeout=max(0.0, end - time.monotonic()))
        except TimeoutError:
            raise self._no_answer() from None
        return refused

    def _no_answer(self) -> UnavailableError:
        return UnavailableError(f"no answer within {self._calls.deadline:g} s", backend="registry", operation="instances")

    def _fetch(self, known: Known, flight: Flight) -> None:
        began = time.monotonic()
        with self._lock:
            if known.flight is flight:
                known.asked_since = began
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

    def _land(self, known: Known, flight: Flight, result: Listing | Exception) -> None:
        refused = result if isinstance(result, SaturatedError) else None
        with self._lock:
            current = known.flight is flight
            if current:
                known.flight, known.asked_since = None, None
                if isinstance(result, Listing):
                    known.listing, known.error, known.due = result, None, result.next_read(self._refresh)
                else:
                    known.error = known.error if refused else result
                    known.due = time.monotonic() + chance.uniform(0.5, 1.0) * _RETRY_SECONDS
            again, known.again = current and known.again and not refused, False
        self._known.settle(known)
        if again:
            self._begin(known)
        flight.set_result(refused)
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
