"""
What must still be told: changes that are in the journal and were not announced, and changes whose outcome is unknown.

Every process that writes runs one, at once after its own writes and once a second for what others left behind, so that a
change outlives the process that made it.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from configkit import chance
from configkit.errors import ClosedError, ConfigKitError, NotFoundError
from configkit.ports import ChangeJournal, ConfigStore, EventPublisher, Intent

logger = logging.getLogger("configkit.outbox")

SWEEP_SECONDS = 1.0
LONGEST_PAUSE = 5.0
CLOCK_SKEW = timedelta(seconds=30)
BATCH = 500


class Outbox:
    """
    Resolves old intents and publishes what is committed.

    Args:
        store: The truth that intents were about.
        publisher: Where changes are announced; None: readers follow the journal itself.
        deadline: Seconds of one call; an intent older than twice that is nobody's any more.
    """

    def __init__(self, journal: ChangeJournal, store: ConfigStore, publisher: EventPublisher | None, *, deadline: float) -> None:
        self._journal = journal
        self._store = store
        self._publisher = publisher
        self._deadline = deadline
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures = 0

    def start(self) -> None:
        """Work in the background from now on."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, args=(self._due, self._stop), name="configkit-outbox", daemon=True
                )
                self._thread.start()

    def wake(self) -> None:
        """Look at once; starts the background if need be."""
        if self._thread is None:
            self.start()
        self._due.set()

    def committed(self) -> None:
        """Look at once: a transaction of this process has changed something."""
        self.wake()

    def close(self, *, within: float = 1.0) -> None:
        """End the background."""
        self._stop.set()
        self._due.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(within)

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._reset()

    def resolve(self) -> int:
        """Find out what became of old intents by reading the store, and return how many were resolved."""
        intents = self._journal.unresolved(older_than=2 * self._deadline)
        for intent in intents:
            self._resolve(intent)
        return len(intents)

    def publish(self) -> int:
        """Announce what is committed and was not announced, and return how many changes that were."""
        if self._publisher is None:
            return 0
        count = 0
        while events := self._journal.unpublished(limit=BATCH):
            self._publisher.publish(events)
            self._journal.published([event.id for event in events if hasattr(event, "id")])
            count += len(events)
        return count

    def _resolve(self, intent: Intent) -> None:
        try:
            document = self._store.read(intent.path)
        except NotFoundError as error:
            if error.deleted:
                self._journal.commit(intent, error.version, deleted=True)
            else:
                self._journal.abandon(intent)
            return
        mine = document.changed_by == intent.origin.changed_by and document.updated_at >= intent.at - CLOCK_SKEW
        # Another's version lies on top: whether this one lies under it nobody can tell, so readers are told to look.
        self._journal.commit(intent, document.version if mine else None)

    def _run(self, due: threading.Event, stop: threading.Event) -> None:
        pause = 0.0
        while not stop.is_set():
            due.wait(pause)
            due.clear()
            pause = SWEEP_SECONDS * chance.uniform(0.8, 1.2) if self._sweep() else self._backoff()
            if self._failures:
                stop.wait(min(pause, 0.2))

    def _sweep(self) -> bool:
        try:
            self.publish()
            self.resolve()
            self.publish()
        except ClosedError:
            return True
        except ConfigKitError as error:
            self._failures += 1
            if self._failures == 1:
                logger.warning("changes cannot be announced yet; they wait in the journal: %s", error)
            return False
        except Exception:
            self._failures += 1
            logger.exception("announcing changes failed; they wait in the journal")
            return False
        if self._failures:
            logger.info("changes are announced again")
        self._failures = 0
        return True

    def _backoff(self) -> float:
        return min(LONGEST_PAUSE, 0.2 * 2.0 ** min(self._failures, 10)) * chance.uniform(0.5, 1.0)
