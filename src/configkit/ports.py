"""
What the core asks of a backend, and what a backend promises.

Every implementation is thread-safe and blocking, passes the conformance suite of its port without an exception to any
case, and raises only errors of `configkit.errors`: missing (`NotFoundError`), unavailable (`UnavailableError`) and
denied (`AccessDeniedError`) are never mixed up, and an error is never turned into "missing". Calls answer within the
deadline that the backend was made with. Retries, caching, ordering and fallbacks are the core's, not the backend's.

A mutation that has returned is durable, is in the journal of its deployment, and will be announced on the deployment's
`EventBus`, even if this process dies at once. A mutation that raised `UnavailableError` may or may not have happened,
unless the error says that nothing was changed; one that raised anything else changed nothing. The author that is kept is
whom the deployment knows the caller as, where it goes by credentials, and else `Origin.changed_by`. Lists take a *limit*
of 1 to 500, and order names by code point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from configkit.flags.model import Flag, FlagSet
from configkit.models import (
    ConfigPath,
    ConfigSelector,
    ConfigVersion,
    Event,
    HealthCheck,
    Origin,
    Page,
    ServiceInstance,
    ServiceSummary,
)
from configkit.values import JsonValue


class ConfigStore(Protocol):
    """
    Configuration with versions.

    Versions of a path start at 1 and grow by exactly one with each write. Deleting version n leaves a tombstone of
    version n: the next write is n + 1, and the older versions can still be read. The last 100 versions are kept. Values
    are JSON values but null (tuples become lists); what is read may be changed by the caller without effect on the store.
    A store reached with credentials that may not read secrets answers secrets with ``masked=True`` and no value; so may
    the answer to any write of a secret. A `NotFoundError` has ``deleted`` and ``version`` set where the latest version
    is a tombstone. A comment is text of at most 1024 characters.
    """

    def read(self, path: ConfigPath, version: int | None = None) -> ConfigVersion:
        """
        Return *version*, or the latest.

        Raises:
            NotFoundError: Never written; or the version is pruned, deleted, or not reached yet.
        """

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        """Return every live key of a service, in one go; empty for a service without keys."""

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return live keys by (environment, service_name, key); ``total`` counts what *selector* selects."""

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """
        Write the first version, or the next one after a tombstone.

        Raises:
            ConflictError: The key is there (``actual`` is its version).
        """

    def update(
        self,
        path: ConfigPath,
        value: JsonValue,
        *,
        origin: Origin,
        is_encrypted: bool | None = None,
        expected_version: int | None = None,
        comment: str | None = None,
        adopt: bool = False,
    ) -> ConfigVersion:
        """
        Write the next version of a key that is there.

        Args:
            is_encrypted: The secret mark; None keeps the present one.
            expected_version: Write only if the latest version is this one.
            adopt: Replace a secret of several fields that another program wrote.

        Raises:
            NotFoundError: Absent or deleted.
            ConflictError: The latest version is another (``actual``); nothing was written.
        """

    def delete(self, path: ConfigPath, *, origin: Origin, expected_version: int | None = None) -> int:
        """
        Soft-delete the latest version and return its number; its history stays.

        Raises:
            NotFoundError: Absent or deleted already.
            ConflictError: The latest version is not *expected_version*.
        """

    def history(self, path: ConfigPath, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """
        Return the versions, newest first; a deleted one has neither value, author nor comment.

        Raises:
            NotFoundError: Never written.
        """

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> ConfigVersion:
        """
        Write the value and the secret mark of *version* as a new version; may revive a deleted key.

        Raises:
            NotFoundError: Absent; or *version* is pruned or deleted.
        """


class FlagStore(Protocol):
    """
    Feature flags, with one counter per environment that grows by one with each change of any flag of it.

    A flag's version is the counter at its last change.
    """

    def load(self, environment: str, known_version: int | None = None) -> FlagSet | None:
        """Return the whole set at one moment, or None if its version is *known_version* still."""

    def read(self, environment: str, name: str) -> Flag:
        """Return the flag. Raises `NotFoundError`."""

    def list(
        self, *, environments: frozenset[str] | None = None, enabled: bool | None = None, limit: int, offset: int = 0
    ) -> Page[Flag]:
        """Return flags by (environment, name)."""

    def create(self, flag: Flag, *, origin: Origin) -> Flag:
        """Add the flag; its version and times are the store's. Raises `ConflictError` if it is there."""

    def update(
        self, environment: str, name: str, changes: Mapping[str, Any], *, origin: Origin, expected_version: int | None = None
    ) -> Flag:
        """
        Apply *changes* as `Flag.with_changes` does.

        Raises:
            NotFoundError: No such flag.
            ConflictError: Its version is not *expected_version*; nothing was written.
            InvalidDocumentError: A change is not allowed; nothing was written.
        """

    def delete(self, environment: str, name: str, *, origin: Origin, expected_version: int | None = None) -> None:
        """Remove the flag. Raises `NotFoundError` or `ConflictError`."""


class ServiceRegistryClient(Protocol):
    """
    Who is there.

    A registration lives as long as its lease is renewed. Without *ttl_seconds* a checker owns its life where it has a
    health check URL (it stays listed while unhealthy, for ten minutes); without either the lease is 30 s. Nobody is
    listed later than 2 s after the end of its lease, whether anybody sweeps or not.
    """

    def register(
        self, instance: ServiceInstance, *, ttl_seconds: float | None = None, origin: Origin
    ) -> tuple[ServiceInstance, bool]:
        """
        List *instance*, replacing what its id was before. Names with capitals are read here, never registered.

        Returns the instance as listed, and whether it is new. Its status is ``unknown`` until checked; a repeated
        registration under the same health check URL keeps what the last check found.

        Raises:
            InvalidDocumentError: The service's name has capitals, or *ttl_seconds* is not a number from 5 to 3600.
        """

    def deregister(self, service_name: str, instance_id: str, *, origin: Origin) -> None:
        """Remove the instance. Raises `NotFoundError` if it is not listed."""

    def heartbeat(self, service_name: str, instance_id: str) -> datetime:
        """
        Renew the lease for its own length and return its new end.

        Raises:
            NotFoundError: Not listed (any more), or it has no lease: register again.
        """

    def instances(self, service_name: str) -> list[ServiceInstance]:
        """Return every listed instance by id, whatever its health; empty for an unknown service."""

    def services(self) -> list[ServiceSummary]:
        """Return the services that have instances, by name."""


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


class Cache(Protocol):
    """
    Configuration documents near the reader; never the truth.

    Entries are ordered by `ConfigVersion.order`: an older one never replaces a newer one, so that a slow fill cannot
    undo an invalidation. Real absence is a document too: deleted, with version 0.
    """

    def get(self, path: ConfigPath) -> ConfigVersion | None:
        """Return what is known, tombstones included; None: nothing is known."""

    def put(self, document: ConfigVersion, *, replace: bool = False) -> bool:
        """Keep *document* if it is newer than what is there (or in any case, with *replace*); return whether it was kept."""

    def paths(self) -> list[ConfigPath]:
        """Return the path of every entry, tombstones included."""

    def clear(self) -> None:
        """Forget everything."""


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


class RegistryRecords(Protocol):
    """What servers do for the instances that cannot do it themselves; shared by all servers of a deployment."""

    def due_checks(self, *, interval: float, limit: int = 100) -> list[ServiceInstance]:
        """Claim instances whose last check began at least *interval* seconds ago, each for one caller only."""

    def record_check(self, service_name: str, check: HealthCheck, status: str) -> None:
        """Keep what a check found. An instance that is gone is ignored; listeners are told where the status changed."""

    def sweep(self, *, unhealthy_for: float = 600.0) -> list[tuple[str, str]]:
        """
        Remove what has died and return it as (service_name, instance_id): leases that ended, and instances without a
        lease that were unhealthy for *unhealthy_for* seconds.
        """


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


class BlobCache(Protocol):
    """Versioned bytes near the reader, shared between processes; never the truth, and never a secret."""

    def load(self, name: str) -> tuple[int, bytes] | None:
        """Return the version and the bytes kept as *name*; None: nothing is. Raises `UnavailableError`."""

    def keep(self, name: str, version: int, content: bytes, *, seconds: float) -> bool:
        """Keep *content* if *version* is newer than what is kept; return whether it was. Raises `UnavailableError`."""

    def drop(self, name: str) -> None:
        """Forget *name*. Raises `UnavailableError`."""


Scope = Literal[
    "config:read", "config:write", "secrets:read", "flags:read", "flags:write", "registry:read", "registry:write", "admin"
]
SCOPES: tuple[Scope, ...] = (
    "config:read", "config:write", "secrets:read", "flags:read", "flags:write", "registry:read", "registry:write", "admin",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """
    What a bearer may do. The secret itself is never kept.

    Attributes:
        digest: SHA-256 of the secret, hexadecimal.
        environments: Limits every scope to these; None: all.
        services: Limits every scope to these services; None: all.
    """

    name: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope]
    environments: frozenset[str] | None = None
    services: frozenset[str] | None = None
    created_at: datetime | None = None


class TokenStore(Protocol):
    """Bearer tokens, by the digest of their secret."""

    def create(self, token: Token, *, origin: Origin) -> None:
        """Keep *token*. Raises `ConflictError` if its name is taken."""

    def revoke(self, name: str, *, origin: Origin) -> None:
        """Forget the token of that name. Raises `NotFoundError`."""

    def all(self) -> list[Token]:
        """Return every token, by name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request with an Idempotency-Key: enough to rebuild the answer, nothing of its body."""

    status: int
    subject: str
    version: int | None


class IdempotencyStore(Protocol):
    """Requests that must not be carried out twice, for 24 hours."""

    def begin(self, key: str, fingerprint: str) -> Outcome | None:
        """
        Claim *key* for the request with this *fingerprint*: None means "carry it out, then call `finish`".

        Returns the outcome if it was carried out before.

        Raises:
            InvalidDocumentError: The key was used for another request.
            ConflictError: The first request is still being carried out.
            OutcomeUnknownError: It was begun more than a minute ago, or before the machine's last start, and never
                finished: it may have been carried out, so that nobody gets to carry it out again.
        """

    def finish(self, key: str, outcome: Outcome | None) -> None:
        """Keep what became of it; None: it failed in a way that may be tried again."""


@dataclass(frozen=True, slots=True)
class Examination:
    """
    What a closer look at a system that works has found.

    Attributes:
        version: The system's release; None: it does not say.
        detail: What there is of configkit, in a few words.
        clock: What time it is there.
        notes: What works less well than it could, each with the remedy.
    """

    version: str | None = None
    detail: str = ""
    clock: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backends:
    """
    What one client runs on, as wired for its mode.

    Attributes:
        records, tokens, idempotency, journal, changes: Only where the deployment's database is in reach (None in remote mode).
        cache: The process's memory; a fresh one is made where None.
        shared: A cache that all processes share, for what is not secret.
        blobs: The same for flag sets and lists of instances.
        poll: Seconds between two looks at the stores (jittered) where announcements can be lost; None: they cannot.
        after_fork: Drop what the parent's threads and sockets were, without closing them, and forget the subscribers:
            the client subscribes again.
        ping: Named checks that return or raise, for health.
        optional: Those of *ping* without which the deployment is degraded, not down.
        readback: How many known keys per second are read again, to find what others wrote straight into the store;
            None: nobody else writes there.
    """

    mode: str
    config: ConfigStore
    flags: FlagStore
    registry: ServiceRegistryClient
    bus: EventBus
    close: Callable[[], None]
    after_fork: Callable[[], None]
    ping: Mapping[str, Callable[[], None]]
    records: RegistryRecords | None = None
    tokens: TokenStore | None = None
    idempotency: IdempotencyStore | None = None
    journal: Journal | None = None
    changes: ChangeJournal | None = None
    cache: Cache | None = None
    shared: Cache | None = None
    blobs: BlobCache | None = None
    poll: float | None = None
    optional: frozenset[str] = frozenset()
    readback: float | None = None
