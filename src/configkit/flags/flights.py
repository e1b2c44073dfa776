"""
Which load of an environment's flags is under way, and what its result may replace.

Decisions only: no lock, no thread, no clock. `FlagSets` calls these under its lock and tells the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event as Done

from configkit import chance
from configkit.flags.compiled import CompiledSet

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
LAGGING_LIMIT = 6
HANGING_LIMIT = 4


@dataclass(frozen=True, slots=True)
class SetStatus:
    """
    How it stands with the flags of one environment.

    Attributes:
        version: The environment's counter; None: nothing could be loaded yet.
        stale: The store could not be read since; these are the last known good.
        age: Seconds since the store last confirmed them; None: never.
        error: Why it could not be read.
    """

    version: int | None
    flags: int
    stale: bool
    age: float | None
    error: str | None


class Flight:
    """
    One load.

    Attributes:
        order: When it began, in the order of beginnings and publications; 0: it waits to begin.
        known: The version held when it began (None: the whole set was asked for).
        replace: It may put an older version in the place of a newer one.
    """

    __slots__ = ("began", "done", "error", "known", "order", "replace")

    def __init__(self, now: float) -> None:
        self.began = now
        self.order = 0
        self.known: int | None = None
        self.replace = False
        self.done = Done()
        self.error: Exception | None = None


class Slot:
    """
    What is known about one environment, and what is under way for it.

    At most one flight is under way, and at most one waits behind it: a storm of changes costs two loads.

    Attributes:
        current: What readers get.
        confirmed_at: When the store last said what is current.
        retry_at: When to try again by itself; None: nothing is due.
        poll_at: When to ask the store although nothing was heard of a change.
    """

    __slots__ = (
        "_full", "_hanging", "_lagging", "_order", "_published", "_replace", "_replaced", "_wanted", "confirmed_at", "current",
        "environment", "error", "failed_at", "failures", "flight", "following", "poll_at", "retry_at",
    )  # fmt: skip

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.current: CompiledSet | None = None
        self.flight: Flight | None = None
        self.following: Flight | None = None
        self.failures = 0
        self.failed_at = 0.0
        self.error: Exception | None = None
        self.confirmed_at: float | None = None
        self.retry_at: float | None = None
        self.poll_at: float | None = None
        self._full = self._replace = False
        self._wanted = self._lagging = self._hanging = 0
        self._order = self._published = self._replaced = 0

    def want(self, *, version: int | None = None, full: bool = False, replace: bool = False) -> None:
        """Let the next flight bring at least *version*, read everything (*full*), or go back where the store did (*replace*)."""
        self._wanted = max(self._wanted, version or 0)
        self._full |= full
        self._replace |= replace

    def next_flight(self, now: float) -> Flight:
        """Return the flight that begins after now, made if need be: the waiting one, or the one behind it."""
        if self.flight is None:
            self.flight = Flight(now)
        elif self.flight.order:
            self.following = self.following or Flight(now)
            return self.following
        return self.flight

    def begin(self, flight: Flight, now: float) -> bool:
        """Let the caller carry *flight* out; False: it is not its turn, or somebody else does."""
        if flight is not self.flight or flight.order:
            return False
        self._order += 1
        flight.began, flight.order = now, self._order
        flight.replace = self._replace
        flight.known = None if self._full or self.current is None else self.current.version
        self._full = self._replace = False
        self.retry_at = None
        return True

    def overdue(self, now: float, limit: float) -> Flight | None:
        """Return the flight if it has been under way, or has waited, for longer than *limit* seconds."""
        return self.flight if self.flight is not None and now - self.flight.began > limit else None

    def give_up(self, flight: Flight) -> None:
        """Take note that *flight* did not return in time; it may still."""
        if flight.order:
            self._hanging += 1

    def end(self, flight: Flight, now: float) -> Flight | None:
        """Take note that *flight* is over (or given up) and return the one whose turn it is."""
        if flight is not self.flight:
            self._hanging = max(0, self._hanging - 1)
            return None
        flight.done.set()
        self.flight, self.following = self.following, None
        if self.flight is not None:
            self.flight.began = now
        return self.flight

    def accept(self, flight: Flight, loaded: CompiledSet | None) -> bool:
        """
        Return whether what *flight* brought may take the place of what is current.

        A newer version may. An older one may only where the flight was to replace and began after the current set was
        published: then the store really has gone back. What began before that, and comes late, may not at all.
        """
        current = self.current
        if loaded is None or flight.order < self._replaced:
            return False
        if current is None or loaded.version > current.version:
            return True
        return flight.replace and flight.order > self._published

    def publish(self, compiled: CompiledSet) -> None:
        """Make *compiled* current."""
        self._order += 1
        self._published = self._order
        if self.current is not None and compiled.version <= self.current.version:
            self._replaced, self._wanted = self._order, compiled.version
        self.current = compiled

    def succeed(self, flight: Flight, loaded: CompiledSet | None, now: float) -> None:
        """
        Take note of an answer of the store.

        One that lags behind what was announced is asked for again soon; after a few such answers the store is believed.
        """
        self.failures, self.error = 0, None
        self.confirmed_at = now
        version = self.current.version if self.current is not None else 0
        answered = flight.known if loaded is None else loaded.version
        if (version < self._wanted or (answered or 0) < version) and self._lagging < LAGGING_LIMIT:
            self._lagging += 1
            if self._lagging == LAGGING_LIMIT:
                self.want(full=True, replace=True)
            self.retry_at = now + pause(self._lagging)
        else:
            self._wanted = self._lagging = 0

    def fail(self, flight: Flight, error: Exception, now: float) -> bool:
        """Take note of a failure, to be tried again with growing pauses; return whether it is the first in a row."""
        flight.error = error
        self.failures += 1
        self.failed_at, self.error = now, error
        self._full |= flight.order > 0 and flight.known is None
        self._replace |= flight.replace
        self.retry_at = now + pause(self.failures)
        return self.failures == 1

    def due(self, now: float) -> bool:
        """Return whether a load should begin by itself: not while loads that never returned hold several workers."""
        if self.flight is not None or self._hanging >= HANGING_LIMIT:
            return False
        return any(at is not None and at <= now for at in (self.retry_at, self.poll_at))

    def after_fork(self, now: float) -> None:
        """Forget the flights of the parent's threads; everything is to be read again."""
        self.flight = self.following = None
        self._hanging = 0
        self.retry_at = now
        self.want(full=True, replace=True)

    def status(self, now: float) -> SetStatus:
        """Return how it stands."""
        current = self.current
        return SetStatus(
            version=None if current is None else current.version,
            flags=0 if current is None else len(current.flags),
            stale=current is not None and current.stale,
            age=None if self.confirmed_at is None else now - self.confirmed_at,
            error=None if self.error is None else str(self.error),
        )


def pause(attempt: int) -> float:
    """Return the seconds before the attempt after *attempt* failed ones: growing to 5 s, jittered."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt - 1, 10)) * chance.uniform(0.75, 1.0)
