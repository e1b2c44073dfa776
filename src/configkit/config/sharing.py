"""Writing configuration that is shared: the store first, but where a value becomes secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from configkit.config.absence import tombstone
from configkit.config.shared import Shared
from configkit.errors import BackendError, NotFoundError, UnavailableError
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Origin, Page, utcnow
from configkit.ports import ConfigStore
from configkit.values import JsonValue


class SharingStore:
    """
    A `ConfigStore` whose truth is *store*, and whose changes reach the shared cache.

    Raises as *store* does, and `UnavailableError` where a value would become secret while the shared cache, which may
    hold it in the clear, cannot be reached; then nothing was written.
    """

    def __init__(self, store: ConfigStore, shared: Shared) -> None:
        self._store = store
        self._shared = shared
        self.read = store.read
        self.read_service = store.read_service
        self.history = store.history

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return a page of the store's list."""
        return self._store.list(selector, limit=limit, offset=offset)

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """Write the first version, or the next one after a tombstone."""
        if is_encrypted:
            self._seal(path, "create")
        with self._writing(path):
            document = self._store.create(path, value, is_encrypted=is_encrypted, origin=origin, comment=comment)
        self._shared.wrote(document)
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
        """Write the next version of a key that is there."""
        if is_encrypted:
            self._seal(path, "update")
        with self._writing(path):
            document = self._store.update(
                path,
                value,
                origin=origin,
                is_encrypted=is_encrypted,
                expected_version=expected_version,
                comment=comment,
                adopt=adopt,
            )
        self._shared.wrote(document)
        return document

    def delete(self, path: ConfigPath, *, origin: Origin, expected_version: int | None = None) -> int:
        """Soft-delete the latest version and return its number."""
        with self._writing(path):
            version = self._store.delete(path, origin=origin, expected_version=expected_version)
        self._shared.wrote(tombstone(path, version, utcnow()))
        return version

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> ConfigVersion:
        """Write the value and the secret mark of *version* as a new version; what is secret by it was so before."""
        with self._writing(path):
            document = self._store.rollback(path, version, origin=origin, comment=comment)
        self._shared.wrote(document)
        return document

    @contextmanager
    def _writing(self, path: ConfigPath) -> Iterator[None]:
        try:
            yield
        except UnavailableError:
            self._shared.distrust(path)
            raise

    def _seal(self, path: ConfigPath, operation: str) -> None:
        try:
            self._shared.seal(path)
        except BackendError as error:
            if self._may_be_shared(path):
                message = f"{path} becomes secret, and the shared cache, which may hold it in the clear, is out of reach; try again"
                raise UnavailableError(message, backend=error.backend, operation=operation, nothing_changed=True) from error

    def _may_be_shared(self, path: ConfigPath) -> bool:
        try:
            return not self._store.read(path).ever_secret
        except NotFoundError as error:
            return error.deleted
