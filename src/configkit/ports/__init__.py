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

from configkit.ports.access import SCOPES, IdempotencyStore, Outcome, Scope, Token, TokenStore
from configkit.ports.backends import Backends, Examination
from configkit.ports.caches import BlobCache, Cache
from configkit.ports.changes import ChangeJournal, EventBus, EventPublisher, Intent, Journal, JournalEntry
from configkit.ports.registry import RegistryRecords, ServiceRegistryClient
from configkit.ports.stores import ConfigStore, FlagStore

__all__ = [
    "SCOPES",
    "Backends",
    "BlobCache",
    "Cache",
    "ChangeJournal",
    "ConfigStore",
    "EventBus",
    "EventPublisher",
    "Examination",
    "FlagStore",
    "IdempotencyStore",
    "Intent",
    "Journal",
    "JournalEntry",
    "Outcome",
    "RegistryRecords",
    "Scope",
    "ServiceRegistryClient",
    "Token",
    "TokenStore",
]
