"""Writing configuration to a store that keeps no journal: intent, write, committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from configkit.errors import (
    AccessDeniedError,
    ClosedError,
    ConfigKitError,
    ConflictError,
    InvalidDocumentError,
    NotFoundError,
    UnavailableError,
)
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Origin, Page
from configkit.ports import ChangeJournal, ConfigStore, Intent
from configkit.values import JsonValue

logger = logging.getLogger("configkit.config")

NOTHING_CHANGED = (AccessDeniedError, ClosedError, ConflictError, InvalidDocumentError, NotFoundError)
"""Errors after which the store holds what it held before."""


class JournaledStore:
    """
    A `ConfigStore` whose truth is *store*, and whose changes are in *journal*.

    An intent is durable before the store is asked to change anything, so no change can be without a trace. What becomes
    of an intent whose write did not answer is found out later by `configkit.outbox`.
    """

    def __init__(self, store: ConfigStore, journal: ChangeJournal) -> None:
        self._store = store
        self._journal = journal
        self.read = store.read
        self.read_service = store.read_service
        self.history = store.history

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return a page of the store's list."""
        return self._store.list(selector, limit=limit, offset=offset)

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """Write the first version. Raises as `ConfigStore.create`, and `UnavailableError` where the journal is away."""
        with self._intent("create", path, origin) as intent:
            document = self._store.create(path, value, is_encrypted=is_encrypted, origin=origin, comment=comment)
        self._commit(intent, document.version)
        return document

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
        """Write the next version. Raises as `ConfigStore.update`, and `UnavailableError` where the journal is away."""
        with self._intent("update", path, origin) as intent:
            document = self._store.update(
                path,
                value,
                origin=origin,
                is_encrypted=is_encrypted,
                expected_version=expected_version,
                comment=comment,
                adopt=adopt,
            )
        self._commit(intent, document.version)
        return document

    def delete(self, path: ConfigPath, *, origin: Origin, expected_version: int | None = None) -> int:
        """Soft-delete the latest version. Raises as `ConfigStore.delete`, and `UnavailableError` where the journal is away."""
        with self._intent("delete", path, origin) as intent:
            version = self._store.delete(path, origin=origin, expected_version=expected_version)
        self._commit(intent, version, deleted=True)
        return version

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> ConfigVersion:
        """Write an old value again. Raises as `ConfigStore.rollback`, and `UnavailableError` where the journal is away."""
        with self._intent("rollback", path, origin) as intent:
            document = self._store.rollback(path, version, origin=origin, comment=comment)
        self._commit(intent, document.version)
        return document

    @contextmanager
    def _intent(self, action: str, path: ConfigPath, origin: Origin) -> Iterator[Intent]:
        try:
            intent = self._journal.intend(action, path, origin=origin)
        except UnavailableError as error:
            error.nothing_changed = True  # the store was not asked
            raise
        try:
            yield intent
        except NOTHING_CHANGED:
            self._try(lambda: self._journal.abandon(intent), intent)
            raise
        except UnavailableError as error:
            if error.nothing_changed:
                self._try(lambda: self._journal.abandon(intent), intent)
                raise
            logger.warning("whether %s of %s happened is not known yet; it will be found out", action, path)
            raise

    def _commit(self, intent: Intent, version: int, *, deleted: bool = False) -> None:
        self._try(lambda: self._journal.commit(intent, version, deleted=deleted), intent)

    def _try(self, note: Callable[[], None], intent: Intent) -> None:
        """Write down how it ended; where that fails, the intent itself is the trace that is followed later."""
        try:
            note()
        except ConfigKitError as error:
            logger.warning("how %s of %s ended could not be journalled yet: %s", intent.action, intent.path, error)
