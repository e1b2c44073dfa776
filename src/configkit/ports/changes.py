"""How a change becomes known: the journal, what is still to be told, and the bus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from configkit.models import ConfigPath, Event, Origin


class EventBus(Protocol):
    """
    Tells of changes in the whole deployment, by whichever process they were made.

    Every change that was committed after `subscribe` returned is delivered at least once, in any order, within a
    second; where events may have been missed, a `Resync` is. Delivery is on a thread of the bus, one at a time for
    each subscriber, which may use the stores, and end its subscription; what it raises is logged and harms nobody else.
    """

    def subscribe(self, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """
        Deliver every event to *deliver* from now on; the answer ends it.

        Raises:
            UnavailableError: The bus cannot be reached; nothing is subscribed.
        """


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """
    One line of the audit trail: never a value.

    Attributes:
        action: ``create``, ``update``, ``delete``, ``rollback``, ``read`` (of a secret), ``register``, ``deregister``,
            ``expire``, ``revoke``.
        kind: ``config``, ``flag``, ``registry`` or ``token``.
        subject: What it is about: ``environment/service/key``, ``environment/flag``, ``service/instance_id``, or the
            token's name.
        version: Of the value, or the environment's counter after the change of a flag.
    """

    kind: Literal["config", "flag", "registry", "token"]
    action: str
    subject: str
    version: int | None
    origin: Origin
    at: datetime


class Journal(Protocol):
    """Who did what, when, from where. Changes are written by the stores themselves, each with its change."""

    def record_read(self, paths: Sequence[ConfigPath], *, origin: Origin) -> None:
        """Record that the secrets at *paths* were read in the clear."""

    def record_registration(
        self, action: Literal["register", "deregister"], service_name: str, instance_id: str, *, origin: Origin
    ) -> None:
        """Record what an instance did at a registry that keeps no journal itself."""

    def entries(self, *, limit: int, offset: int = 0) -> list[JournalEntry]:
        """Return the journal, newest first."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A change of configuration that was begun: what is known of it before the store has answered."""

    id: str
    action: str
    path: ConfigPath
    origin: Origin
    at: datetime


class ChangeJournal(Protocol):
    """
    The journal where configuration lies in another system than the journal itself.

    A row goes intent -> committed(version) -> published. Rows that other stores write with their own change (a flag's,
    an instance's) are committed from the start. What is committed and not yet published is announced by whichever
    process claims it; a claim that is not honoured within ten seconds is void.
    """

    def intend(self, action: str, path: ConfigPath, *, origin: Origin) -> Intent:
        """Write down, durably, that *path* is about to be changed. Raises `UnavailableError`: then nothing may be changed."""

    def commit(self, intent: Intent, version: int | None, *, deleted: bool = False) -> None:
        """Write down that it was changed, to *version* (None: unknown, read it again)."""

    def abandon(self, intent: Intent) -> None:
        """Write down that nothing was changed."""

    def unresolved(self, *, older_than: float, limit: int = 100) -> list[Intent]:
        """Claim intents of at least *older_than* seconds that nobody has resolved, each for one caller only."""

    def unpublished(self, *, limit: int = 500) -> list[Event]:
        """Claim committed changes that are not published yet, oldest first, each for one caller only."""

    def published(self, event_ids: Sequence[str]) -> None:
        """Write down that these were announced."""


class EventPublisher(Protocol):
    """Announces events to every process of the deployment."""

    def publish(self, events: Sequence[Event]) -> None:
        """Return when all of *events* are durably announced. Raises `UnavailableError`: some may have been."""
