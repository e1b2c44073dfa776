"""The flags of every environment a client knows, kept fresh and swapped whole."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from configkit import chance
from configkit.calls import Calls
from configkit.errors import ClosedError, ConfigKitError, UnavailableError
from configkit.flags.compiled import CompiledSet, compile_set
from configkit.flags.flights import Flight, SetStatus, Slot
from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagSet
from configkit.models import Event, FlagChanged, Origin, Resync
from configkit.ports import FlagStore

logger = logging.getLogger("configkit")

FAIL_FAST_AFTER, FAIL_FAST_FOR = 3, 1.0

T = TypeVar("T")

Listener = Callable[[str, frozenset[str]], None]


class FlagSets:
    """
    Compiled flag sets by environment.

    Reading takes no lock and does no I/O. Everything else is coalesced: one load is under way per environment and one
    waits. A set is never replaced by an older one, but where the store itself has gone back (a restored backup) and
    somebody asked it anew. When the store cannot be read the last known set stays, marked stale, and the load is tried
    again until it succeeds.

    Args:
        poll: Seconds between questions to the store in case a change was not announced (jittered); None: never.
        clock: Monotonic seconds.
    """

    def __init__(
        self, store: FlagStore, calls: Calls, *, poll: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._calls = calls
        self._poll = poll
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[str, Slot] = {}
        self._hooks: dict[str, list[Callable[[CompiledSet], None]]] = {}
        self._listeners: list[Listener] = []
        self._health_listeners: list[Callable[[str, bool], None]] = []

    def peek(self, environment: str) -> CompiledSet | None:
        """Return the set as far as it is known, without waiting; None: not loaded yet."""
        slot = self._slots.get(environment)
        return None if slot is None else slot.current

    def ensure(self, environment: str) -> CompiledSet:
        """
        Return the set, loading it if it is not known yet.

        Raises:
            BackendError: The store could not be read within the deadline. After repeated failures this comes at once,
                for a second each.
        """
        known = self.peek(environment)
        if known is not None:
            return known
        with self._lock:
            slot = self._slot(environment)
            if slot.current is not None:
                return slot.current
            if slot.error is not None and slot.failures >= FAIL_FAST_AFTER and self._clock() < slot.failed_at + FAIL_FAST_FOR:
                raise slot.error
            flight = slot.flight or slot.next_flight(self._clock())
        return self._join(slot, flight)

    def refresh(self, environment: str) -> CompiledSet:
        """
        Read the whole set again, going back to an older version if the store has, and return it.

        Raises:
            BackendError: The store could not be read; what was known stays.
        """
        with self._lock:
            slot = self._slot(environment)
            slot.want(full=True, replace=True)
            flight = slot.next_flight(self._clock())
        return self._join(slot, flight)

    def request(self, environment: str) -> None:
        """Load the set in the background unless that is under way or will be tried again by itself."""
        with self._lock:
            slot = self._slot(environment)
            if slot.flight is not None or slot.retry_at is not None:
                return
            flight = slot.next_flight(self._clock())
        self._launch(slot, flight)

    def on_event(self, event: Event) -> None:
        """Refresh in the background what *event* says has changed; events that tell nothing new cost nothing."""
        if isinstance(event, Resync):
            for environment in self.environments():
                self._heard(environment, None, everything=True)
        elif isinstance(event, FlagChanged):
            known = self.peek(event.environment)
            if known is None or event.version is None or event.version > known.version:
                self._heard(event.environment, event.version, everything=False)

    def retry_due(self) -> None:
        """Begin what is due: retries, polls, and loads in place of those that hang. To be called a few times a second."""
        for slot in list(self._slots.values()):
            self._give_up_overdue(slot)
            with self._lock:
                now = self._clock()
                if not slot.due(now):
                    continue
                if slot.poll_at is not None and slot.poll_at <= now:
                    slot.want(replace=True)
                flight = slot.next_flight(now)
            self._launch(slot, flight)

    def create(self, flag: Flag, *, origin: Origin) -> Flag:
        """Add *flag*; whoever evaluates through these sets afterwards sees it. Raises as `FlagStore.create` does."""
        return self._write(flag.environment, lambda: self._store.create(flag, origin=origin))

    def update(
        self, environment: str, name: str, changes: Mapping[str, Any], *, origin: Origin, expected_version: int | None = None
    ) -> Flag:
        """Change a flag, as `FlagStore.update` does; whoever evaluates through these sets afterwards sees it."""
        return self._write(
            environment,
            lambda: self._store.update(environment, name, changes, origin=origin, expected_version=expected_version),
        )

    def delete(self, environment: str, name: str, *, origin: Origin, expected_version: int | None = None) -> None:
        """Remove a flag, as `FlagStore.delete` does; whoever evaluates through these sets afterwards misses it."""
        self._write(environment, lambda: self._store.delete(environment, name, origin=origin, expected_version=expected_version))

    def environments(self) -> list[str]:
        """Return the environments that were asked for."""
        return list(self._slots)

    def usage(self) -> list[tuple[str, str, str, int]]:
        """Return environment, flag, variant, and how often this process has served it."""
        counts = []
        for environment in self.environments():
            current = self.peek(environment)
            for (flag, variant), tally in list(current.tallies.items()) if current is not None else ():
                if variant is not None and tally.count:
                    counts.append((environment, flag, variant, tally.count))
        return counts

    def status(self) -> dict[str, SetStatus]:
        """Return how it stands with each environment that was asked for."""
        now = self._clock()
        with self._lock:
            return {slot.environment: slot.status(now) for slot in self._slots.values()}

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* with the environment and the names of the flags that changed, after each change; the answer ends it."""
        self._listeners = [*self._listeners, listener]

        def end() -> None:
            self._listeners = [each for each in self._listeners if each is not listener]

        return end

    def listen_to_health(self, listener: Callable[[str, bool], None]) -> Callable[[], None]:
        """
        Call *listener* with the environment and whether its flags are stale, each time when that has changed.

        The first flags of an environment are such a change, too. The answer ends it.
        """
        self._health_listeners = [*self._health_listeners, listener]

        def end() -> None:
            self._health_listeners = [each for each in self._health_listeners if each is not listener]

        return end

    def attach(self, environment: str, hook: Callable[[CompiledSet], None]) -> None:
        """Call *hook* with the current set, if there is one, and with each that is published. It must only assign."""
        with self._lock:
            self._hooks.setdefault(environment, []).append(hook)
            self._show(self._slot(environment))

    def announce(self, environment: str) -> None:
        """Call the hooks of *environment* once more with the current set."""
        with self._lock:
            self._show(self._slot(environment))

    def after_fork(self) -> None:
        """Begin anew in a forked child: what is known stays, and is read again."""
        self._lock = threading.Lock()
        for slot in self._slots.values():
            slot.after_fork(self._clock())

    def _slot(self, environment: str) -> Slot:
        return self._slots.setdefault(environment, Slot(environment))

    def _heard(self, environment: str, version: int | None, *, everything: bool) -> None:
        with self._lock:
            slot = self._slots.get(environment)
            if slot is None:
                return
            slot.want(version=version, full=everything, replace=everything)
            flight = slot.next_flight(self._clock())
        self._launch(slot, flight)

    def _write(self, environment: str, write: Callable[[], T]) -> T:
        try:
            written = self._calls.run(write)
        except UnavailableError:
            self._heard(environment, None, everything=False)
            raise
        with self._lock:
            slot = self._slots.get(environment)
            if slot is None:
                return written
            slot.want(version=written.version if isinstance(written, Flag) else None)
            flight = slot.next_flight(self._clock())
        try:
            self._join(slot, flight)
        except ConfigKitError:
            logger.debug("a flag of %s was written, but the flags could not be read again yet", environment)
        return written

    def _launch(self, slot: Slot, flight: Flight | None) -> None:
        if flight is None or flight is not slot.flight or flight.order:
            return
        try:
            self._calls.submit(self._carry_out, slot, flight)
        except ClosedError:
            return
        except UnavailableError as error:
            self._fail(slot, flight, error)

    def _join(self, slot: Slot, flight: Flight) -> CompiledSet:
        end = time.monotonic() + self._calls.deadline
        self._calls.run(self._carry_out, slot, flight)
        if not flight.done.wait(max(0.0, end - time.monotonic())):
            raise _no_answer(self._calls.deadline)
        if flight.error is not None:
            raise flight.error
        if slot.current is None:
            raise UnavailableError("the store gave no flags", backend="configkit", operation="load")
        return slot.current

    def _carry_out(self, slot: Slot, flight: Flight) -> None:
        with self._lock:
            if not slot.begin(flight, self._clock()):
                return
            previous = slot.current
        try:
            loaded = self._read(slot.environment, flight.known, previous)
            compiled = None if loaded is None else compile_set(loaded, previous)
        except Exception as error:  # noqa: BLE001  whatever it is: it is logged, and what was known stays
            self._fail(slot, flight, error)
            return
        self._land(slot, flight, compiled)

    def _read(self, environment: str, known: int | None, previous: CompiledSet | None) -> FlagSet | None:
        """Return the set as it is now, by way of what has changed where that can be told; None: nothing has."""
        if known is not None and previous is not None and previous.version == known:
            changes = self._store.changes(environment, known)
            if changes is not None:
                become = changes.applied_to(previous.flags)
                if become is not None:
                    return None if become.version == known else become
                return self._store.load(environment)
        return self._store.load(environment, known)

    def _land(self, slot: Slot, flight: Flight, compiled: CompiledSet | None) -> None:
        with self._lock:
            before, failing = slot.current, slot.failures > 0
            if compiled is not None and slot.accept(flight, compiled):
                slot.publish(compiled)
            if flight is slot.flight:
                slot.succeed(flight, compiled, self._clock())
            self._mark(slot)
            after, healed = slot.current, failing and not slot.failures
            turn = slot.end(flight, self._clock())
        if healed:
            logger.info("flags of %s can be read again: version %s", slot.environment, after and after.version)
        self._launch(slot, turn)
        if healed or (before is None and after is not None):
            self._tell_health(slot.environment, stale=False)
        if after is not None and after is not before and self._listeners:
            self._tell(slot.environment, after.changes_from(before))

    def _fail(self, slot: Slot, flight: Flight, error: Exception) -> None:
        with self._lock:
            first = flight is slot.flight and slot.fail(flight, error, self._clock())
            self._mark(slot)
            turn = slot.end(flight, self._clock())
        if first:
            _report(slot, error)
            if slot.current is not None:
                self._tell_health(slot.environment, stale=True)
        self._launch(slot, turn)

    def _give_up_overdue(self, slot: Slot) -> None:
        with self._lock:
            flight = slot.overdue(self._clock(), self._calls.deadline)
            if flight is not None:
                slot.give_up(flight)
        if flight is not None:
            self._fail(slot, flight, _no_answer(self._calls.deadline))

    def _mark(self, slot: Slot) -> None:
        if self._poll is not None:
            slot.poll_at = self._clock() + self._poll * chance.uniform(0.8, 1.2)
        if slot.current is not None:
            slot.current = slot.current.marked(stale=slot.failures > 0)
            self._show(slot)

    def _show(self, slot: Slot) -> None:
        if slot.current is not None:
            for hook in self._hooks.get(slot.environment, ()):
                hook(slot.current)

    def _tell(self, environment: str, changed: frozenset[str]) -> None:
        for listener in self._listeners if changed else ():
            try:
                listener(environment, changed)
            except Exception:
                logger.exception("a listener for changes of flags failed; the others go on")

    def _tell_health(self, environment: str, *, stale: bool) -> None:
        for listener in self._health_listeners:
            try:
                listener(environment, stale)
            except Exception:
                logger.exception("a listener for the health of flags failed; the others go on")


def _no_answer(deadline: float) -> UnavailableError:
    return UnavailableError(f"no flags within {deadline:g} s", backend="configkit", operation="load")


def _report(slot: Slot, error: Exception) -> None:
    kept = "nothing is known yet" if slot.current is None else f"version {slot.current.version} is served, marked stale"
    unexpected = None if isinstance(error, ConfigKitError) else error
    logger.warning("flags of %s cannot be read (%s); %s; trying again", slot.environment, error, kept, exc_info=unexpected)
