"""What is kept: configuration with its versions, and feature flags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagChanges, FlagSet
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Origin, Page
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

    def changes(self, environment: str, since: int) -> FlagChanges | None:
        """Return what has changed after the set was at version *since*; None: that is not known, so load the whole set."""

    def read(self, environment: str, name: str) -> Flag:
        """Return the flag. Raises `NotFoundError`."""

    def list(
        self, *, environments: frozenset[str] | None = None, enabled: bool | None = None, limit: int, offset: int = 0
    ) -> Page[Flag]:
        """Return flags by (environment, name)."""

    def create(self, flag: Flag, *, origin: Origin) -> Flag:
        """
        Add the flag; its version and times are the store's.

        Raises:
            ConflictError: It is there.
            InvalidDocumentError: What it depends on is not there, or leads in a circle.
        """

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
        """
        Remove the flag.

        Raises:
            NotFoundError: No such flag.
            ConflictError: Its version is not *expected_version*; nothing was removed.
            InvalidDocumentError: Other flags depend on it.
        """
