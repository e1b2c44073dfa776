"""`kit.config`: the configuration of one service in one environment, layered over what all services share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from configkit import values
from configkit.calls import Calls
from configkit.config.binding import Binding, bound
from configkit.config.documents import Documents
from configkit.config.watching import Subscription, ValueChanged, Watchers
from configkit.errors import AccessDeniedError, ConfigKitError, ConflictError, NotFoundError, UnavailableError
from configkit.models import ConfigPath, ConfigVersion, Origin, Page
from configkit.names import SHARED, check_key
from configkit.values import JsonValue

logger = logging.getLogger("configkit.config")

M = TypeVar("M")
RAISE: Any = object()
"""Stands for "no default": what is missing is an error."""


class Config:
    """
    The configuration of one service.

    A key of the service hides the shared key of the same name; a deleted one lets it through. Known keys are answered
    from memory: no lock, no I/O. A key that was never asked for costs one fetch under the client's deadline.
    """

    def __init__(
        self,
        documents: Documents,
        calls: Calls,
        *,
        environment: str,
        service_name: str | None,
        origin: Origin,
        revive: Callable[[], None],
    ) -> None:
        self._documents = documents
        self._environment = environment
        self._layers = (service_name, SHARED) if service_name and service_name != SHARED else (SHARED,)
        self._origin = origin
        self._revive = revive
        self._lock = threading.RLock()
        self._plain: dict[str, Any] = {}
        self._effective: dict[str, ConfigVersion] = {}
        self._watchers = Watchers(calls)
        self._bindings: list[Binding[Any]] = []
        self._complained: set[str] = set()
        self._loaded = False
        documents.listen(self._on_document)

    # -- reads ---------------------------------------------------------------------------------------------------------

    def get(self, key: str, default: Any = RAISE) -> Any:
        """
        Return the value of *key*: text, or any JSON value, which is the caller's own copy.

        Args:
            default: What to answer where there is no value, or the store cannot be asked (logged once).

        Raises:
            NotFoundError: No value and no default.
            UnavailableError: Not known, the store did not answer, and no default.
            AccessDeniedError: It is a secret that these credentials may not read.
            InvalidDocumentError: *key* is no key.
        """
        value = self._plain.get(key, RAISE)
        return self._get(key, default) if value is RAISE else value

    def keys(self) -> list[str]:
        """Return the keys that have a value, shared ones included."""
        self.load()
        return sorted(self._effective)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: str) -> bool:
        check_key(key)
        self._revive()
        try:
            self._document(key)
        except NotFoundError:
            return False
        return True

    def version(self, key: str) -> ConfigVersion:
        """Return the document behind *key*: version, author, times. Raises as `get` does without a default."""
        return self._document(check_key(key))

    def load(self) -> None:
        """
        Read every key of the service and the shared ones, so that reading them never waits.

        Raises:
            UnavailableError: The store did not answer.
        """
        if self._loaded:
            return
        for layer in self._layers:
            self._documents.read_service(self._environment, layer)
        self._loaded = True

    def bind(self, model: type[M], *, prefix: str = "") -> M:
        """
        Return a live view of *model* (a pydantic model), whose fields are the keys of the same names.

        Its attributes are always those of one valid model: a change that does not validate is refused as a whole,
        logged without values, and the last good model stays. `configkit.current` gives that model itself.

        Args:
            prefix: Put before each field's name to make the key, such as ``asr.``.

        Raises:
            InvalidDocumentError: The present values do not validate.
            AccessDeniedError: One of them is a secret that these credentials may not read.
            UnavailableError: The store did not answer.
        """
        try:
            self.load()
        except UnavailableError:
            if not self._effective:
                raise
        binding = Binding(model, prefix, where=f"{self._layers[0]} in {self._environment}")
        with self._lock:
            binding.update(self._effective)
            self._bindings.append(binding)
        return bound(binding)

    def on_change(self, key: str | None, callback: Callable[[ValueChanged], None]) -> Subscription:
        """
        Call *callback* whenever the value of *key* changes (None: of any key).

        It is called on a thread of the client, one change at a time; what it raises is logged.
        """
        if key is not None:
            check_key(key)
        return self._watchers.add(key, callback)

    @property
    def refused(self) -> tuple[str, ...]:
        """The bound models that keep their last good values, because the newest do not validate."""
        return tuple(binding.name for binding in self._bindings if binding.error is not None)

    # -- writes --------------------------------------------------------------------------------------------------------

    def set(
        self,
        key: str,
        value: JsonValue,
        *,
        is_encrypted: bool | None = None,
        expected_version: int | None = None,
        comment: str | None = None,
    ) -> int:
        """
        Give *key* of this service a new value and return its version.

        Args:
            is_encrypted: Whether it is a secret; None keeps the mark, and a new key is none.
            expected_version: Write only if this is the latest version; 0: only if there is none.

        Raises:
            ConflictError: *expected_version* does not match.
            InvalidDocumentError: The value is not allowed.
            UnavailableError: The store did not answer; the write may have happened.
        """
        path = self._own(key)
        for _ in range(8):
            try:
                if expected_version != 0:
                    return self._documents.update(
                        path,
                        value,
                        is_encrypted=is_encrypted,
                        expected_version=expected_version,
                        comment=comment,
                        origin=self._origin,
                    ).version
            except NotFoundError as error:
                if expected_version is not None:
                    raise ConflictError(f"{path} is not there", expected=expected_version, actual=error.version) from error
            try:
                return self._documents.create(
                    path, value, is_encrypted=bool(is_encrypted), comment=comment, origin=self._origin
                ).version
            except ConflictError:
                if expected_version == 0:
                    raise
        raise ConflictError(f"{path} comes and goes; try again", expected=None, actual=None)

    def delete(self, key: str, *, expected_version: int | None = None) -> int:
        """Delete *key* of this service and return the version that was deleted. Its history stays."""
        return self._documents.delete(self._own(key), expected_version=expected_version, origin=self._origin)

    def history(self, key: str, *, limit: int = 50, offset: int = 0) -> Page[ConfigVersion]:
        """Return the versions of *key* of this service, newest first. Raises `NotFoundError`."""
        return self._documents.history(self._own(key), limit=limit, offset=offset)

    def rollback(self, key: str, version: int, *, comment: str | None = None) -> int:
        """Write the value of *version* as a new one and return the new version's number. Raises `NotFoundError`."""
        return self._documents.rollback(self._own(key), version, comment=comment, origin=self._origin).version

    # -- inside --------------------------------------------------------------------------------------------------------

    def after_fork(self) -> None:
        """Make the next read notice that this is another process."""
        self._lock = threading.RLock()
        self._plain = {}
        self._watchers.after_fork()

    def restore(self) -> None:
        """Make known values quick to read again, after a fork."""
        with self._lock:
            self._plain = {key: document.value for key, document in self._effective.items() if _is_plain(document)}

    def _own(self, key: str) -> ConfigPath:
        return ConfigPath(self._environment, self._layers[0], key)

    def _get(self, key: str, default: Any) -> Any:
        check_key(key)
        self._revive()
        try:
            document = self._document(key)
        except NotFoundError:
            if default is RAISE:
                raise
            return default
        except UnavailableError as error:
            if default is RAISE:
                raise
            self._complain(key, error)
            return default
        if document.masked:
            raise AccessDeniedError(
                f"{document.path} is a secret, and these credentials lack secrets:read", backend="config", operation="read"
            )
        return values.copy(document.value)

    def _document(self, key: str) -> ConfigVersion:
        known = self._effective.get(key)
        if known is not None:
            return known
        missing: NotFoundError | None = None
        for layer in self._layers:
            try:
                return self._documents.read(ConfigPath(self._environment, layer, key))
            except NotFoundError as error:
                missing = missing or error
        raise missing or NotFoundError(key)

    def _complain(self, key: str, error: Exception) -> None:
        if key not in self._complained and len(self._complained) < 1000:
            self._complained.add(key)
            logger.warning("%s cannot be read; its default is used: %s", key, error)

    def _on_document(self, changed: ConfigVersion) -> None:
        path = changed.path
        if path.environment != self._environment or path.service_name not in self._layers:
            return
        with self._lock:
            before = self._effective.get(path.key)
            after = self._layered(path.key)
            if before == after:
                return
            self._replace(path.key, after)
            for binding in self._bindings:
                if binding.wants(path.key):
                    self._rebind(binding)
            if before is None or after is None or before.value != after.value or before.masked != after.masked:
                value, version = (None, 0) if after is None else (after.value, after.version)
                self._watchers.tell(ValueChanged(path.key, value, version, removed=after is None))

    def _layered(self, key: str) -> ConfigVersion | None:
        for layer in self._layers:
            document = self._documents.peek(ConfigPath(self._environment, layer, key))
            if document is not None and not document.deleted:
                return document
        return None

    def _replace(self, key: str, document: ConfigVersion | None) -> None:
        if document is not None and _is_plain(document):
            self._plain[key] = document.value
        else:
            self._plain.pop(key, None)
        if document is not None:
            self._effective[key] = document
        else:
            self._effective.pop(key, None)

    def _rebind(self, binding: Binding[Any]) -> None:
        try:
            binding.update(self._effective)
        except ConfigKitError as error:
            logger.error("%s keeps its last good values: %s", binding.name, error)  # noqa: TRY400  values stay out of logs


def _is_plain(document: ConfigVersion) -> bool:
    return not document.masked and isinstance(document.value, values.SCALARS)


def current(settings: M) -> M:
    """Return the plain, valid pydantic model behind a live one that `Config.bind` gave."""
    return cast("M", Binding.of(settings).current)
