"""Documents: configuration at any path, read through what the process knows and written by compare-and-set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from configkit import values
from configkit.calls import Calls
from configkit.config.absence import tombstone
from configkit.config.knowledge import Knowledge
from configkit.config.shared import Shared
from configkit.config.sharing import SharingStore
from configkit.errors import NotFoundError
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Event, Origin, Page
from configkit.names import check_environment
from configkit.ports import Cache, ConfigStore
from configkit.values import JsonValue


class Documents:
    """
    Cached reads and compare-and-set writes of configuration at any path.

    Args:
        store: The truth.
        cache: The process's memory.
        environments: The environments that exist.
        shared: What all processes share of it, for what is not secret; None: nothing.
        readback: How many known keys per second are read again though nothing was heard of them; None: none.
    """

    def __init__(
        self,
        store: ConfigStore,
        cache: Cache,
        calls: Calls,
        *,
        environments: frozenset[str],
        shared: Cache | None = None,
        readback: float | None = None,
    ) -> None:
        rules = None if shared is None else Shared(shared)
        self._store = store if rules is None else SharingStore(store, rules)
        self._calls = calls
        self._environments = environments
        self._known = Knowledge(self._store, cache, calls, shared=rules, readback=readback)

    # -- reads ---------------------------------------------------------------------------------------------------------

    def peek(self, path: ConfigPath) -> ConfigVersion | None:
        """
        Return what is known of *path* without I/O; None: nothing is known.

        A document with ``deleted`` says that there is no value; it has version 0 where none was ever written.
        """
        return self._known.peek(path)

    def read(self, path: ConfigPath, version: int | None = None, *, fresh: bool = False) -> ConfigVersion:
        """
        Return the latest document, or *version*; what is not known is fetched once under the deadline.

        Args:
            fresh: Ask the store even if the document is known.

        Raises:
            NotFoundError: There is none; ``deleted`` and ``version`` tell of a tombstone.
            UnavailableError: It is not known, and the store did not answer.
        """
        check_environment(path.environment, allowed=self._environments)
        if version is not None:
            return self._calls.run(self._store.read, path, version)
        document = None if fresh else self._known.peek(path)
        if document is None:
            document = self._calls.run(self._known.load, path) if fresh else self._known.fetch(path)
        if document.deleted:
            what = f"version {document.version} of {path} is deleted" if document.version else f"{path} does not exist"
            raise NotFoundError(what, deleted=document.version > 0, version=document.version)
        return document

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        """Return every live key of a service as the store has it, and keep it known from now on."""
        check_environment(environment, allowed=self._environments)
        return self._calls.run(self._known.load_service, environment, service_name)

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return a page of the store's list."""
        return self._calls.run(self._store.list, selector, limit=limit, offset=offset)

    def history(self, path: ConfigPath, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return the versions of *path*, newest first. Raises `NotFoundError`."""
        check_environment(path.environment, allowed=self._environments)
        return self._calls.run(self._store.history, path, limit=limit, offset=offset)

    # -- writes --------------------------------------------------------------------------------------------------------

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """Write the first version of a key. Raises as `ConfigStore.create` does; the deadline makes it `UnavailableError`."""
        self._check(path, value)
        document = self._calls.run(self._store.create, path, value, is_encrypted=is_encrypted, origin=origin, comment=comment)
        return self._written(document, value)

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
        """Write the next version of a key. Raises as `ConfigStore.update` does."""
        self._check(path, value)
        document = self._calls.run(
            self._store.update,
            path,
            value,
            origin=origin,
            is_encrypted=is_encrypted,
            expected_version=expected_version,
            comment=comment,
            adopt=adopt,
        )
        return self._written(document, value)

    def delete(self, path: ConfigPath, *, origin: Origin, expected_version: int | None = None) -> int:
        """Soft-delete the latest version and return its number. Raises as `ConfigStore.delete` does."""
        check_environment(path.environment, allowed=self._environments)
        version = self._calls.run(self._store.delete, path, origin=origin, expected_version=expected_version)
        self._known.keep(tombstone(path, version, datetime.now(UTC)))
        return version

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> ConfigVersion:
        """Write the value of *version* as a new version. Raises as `ConfigStore.rollback` does."""
        check_environment(path.environment, allowed=self._environments)
        document = self._calls.run(self._store.rollback, path, version, origin=origin, comment=comment)
        if document.masked:
            return self._calls.run(self._known.load, path)
        self._known.keep(document)
        return document

    def _check(self, path: ConfigPath, value: JsonValue) -> None:
        check_environment(path.environment, allowed=self._environments)
        values.encode(value)

    def _written(self, document: ConfigVersion, value: JsonValue) -> ConfigVersion:
        known = replace(document, value=values.copy(value), masked=False) if document.masked else document
        self._known.keep(known)
        return known

    # -- coherence -----------------------------------------------------------------------------------------------------

    def listen(self, changed: Callable[[ConfigVersion], None]) -> Callable[[], None]:
        """Call *changed* with each document that becomes known or newer; the answer ends it."""
        return self._known.listen(changed)

    def on_event(self, event: Event) -> None:
        """Take in what the bus tells."""
        self._known.on_event(event)

    def resynchronise(self) -> None:
        """Read everything known again, in the background; until then it stays readable."""
        self._known.resynchronise()

    def retry_due(self) -> None:
        """Begin a refresh that failed again, when its time has come; called now and then by the client."""
        self._known.retry_due()

    @property
    def readback_seconds(self) -> float | None:
        """How long what others wrote straight into the store can stay unseen; None: nobody does, or not known yet."""
        return self._known.readback_seconds

    @property
    def stale(self) -> bool:
        """Whether something known could not be read again although it may have changed."""
        return self._known.stale

    def after_fork(self, cache: Cache) -> None:
        """Begin anew in a forked child: what is known stays, to be read again."""
        self._known.after_fork(cache)
