"""Configuration with versions, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from configkit import values
from configkit.backends.memory.journal import Change, MemoryJournal
from configkit.errors import ConflictError, NotFoundError
from configkit.models import ConfigChanged, ConfigPath, ConfigSelector, ConfigVersion, Origin, Page
from configkit.names import check_text
from configkit.values import JsonValue

MAX_VERSIONS = 100


@dataclass(frozen=True, slots=True)
class _Version:
    number: int
    value: JsonValue
    is_encrypted: bool
    at: datetime
    changed_by: str | None
    comment: str | None
    deleted: bool = False


@dataclass(slots=True)
class _Document:
    path: ConfigPath
    created_at: datetime
    ever_secret: bool = False
    versions: dict[int, _Version] = field(default_factory=dict)

    @property
    def latest(self) -> _Version:
        return self.versions[next(reversed(self.versions))]

    def add(self, version: _Version) -> None:
        self.versions[version.number] = version
        self.ever_secret = self.ever_secret or version.is_encrypted
        while len(self.versions) > MAX_VERSIONS:
            del self.versions[next(iter(self.versions))]

    def shown(self, version: _Version) -> ConfigVersion:
        return ConfigVersion(
            path=self.path,
            version=version.number,
            value=values.copy(version.value),
            is_encrypted=version.is_encrypted,
            ever_secret=self.ever_secret,
            created_at=self.created_at,
            updated_at=version.at,
            changed_by=version.changed_by,
            comment=version.comment,
            deleted=version.deleted,
        )


class MemoryConfigStore:
    """A `ConfigStore` that keeps the last 100 versions of a key."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._documents: dict[ConfigPath, _Document] = {}

    def read(self, path: ConfigPath, version: int | None = None) -> ConfigVersion:
        """Return *version*, or the latest. Raises `NotFoundError`."""
        with self._journal.lock:
            document = self._written(path)
            found = document.latest if version is None else document.versions.get(version)
            if found is None or found.deleted:
                raise _missing(document, version)
            return document.shown(found)

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        """Return every live key of a service."""
        selector = ConfigSelector(environments=frozenset((environment,)), services=frozenset((service_name,)))
        with self._journal.lock:
            return {document.path.key: document.shown(document.latest) for document in self._selected(selector)}

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return live keys by (environment, service_name, key)."""
        with self._journal.lock:
            selected = sorted(self._selected(selector), key=lambda document: document.path)
            items = tuple(document.shown(document.latest) for document in selected[offset : offset + limit])
        return Page(items, len(selected), limit, offset)

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """Write the first version, or the next one after a tombstone. Raises `ConflictError` if the key is there."""
        kept = _kept(value, comment)
        with self._journal.change() as change:
            document = self._documents.get(path)
            if document is not None and not document.latest.deleted:
                raise ConflictError(f"{path} exists; update it instead", expected=0, actual=document.latest.number)
            if document is None:
                document = self._documents[path] = _Document(path, change.at)
            return self._write(document, kept, is_encrypted, origin, comment, change, "create")

    def update(
        self,
        path: ConfigPath,
        value: JsonValue,
        *,
        origin: Origin,
        is_encrypted: bool | None = None,
        expected_version: int | None = None,
        comment: str | None = None,
        adopt: bool = False,  # noqa: ARG002  # no other program writes here
    ) -> ConfigVersion:
        """Write the next version of a key that is there. Raises `NotFoundError` or `ConflictError`."""
        kept = _kept(value, comment)
        with self._journal.change() as change:
            document = self._live(path, expected_version)
            mark = document.latest.is_encrypted if is_encrypted is None else is_encrypted
            return self._write(document, kept, mark, origin, comment, change, "update")

    def delete(self, path: ConfigPath, *, origin: Origin, expected_version: int | None = None) -> int:
        """Soft-delete the latest version and return its number. Raises `NotFoundError` or `ConflictError`."""
        with self._journal.change() as change:
            document = self._live(path, expected_version)
            tombstone = replace(document.latest, value=None, changed_by=None, comment=None, deleted=True)
            document.versions[tombstone.number] = tombstone
            self._tell(document, origin, change, "delete")
            return tombstone.number

    def history(self, path: ConfigPath, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return the versions, newest first. Raises `NotFoundError` if there never was one."""
        with self._journal.lock:
            document = self._written(path)
            newest_first = list(reversed(document.versions.values()))
            items = tuple(document.shown(version) for version in newest_first[offset : offset + limit])
        return Page(items, len(newest_first), limit, offset)

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> ConfigVersion:
        """Write the value and the secret mark of *version* as a new version. Raises `NotFoundError`."""
        _check_comment(comment)
        with self._journal.change() as change:
            document = self._written(path)
            source = document.versions.get(version)
            if source is None or source.deleted:
                raise _missing(document, version)
            return self._write(document, source.value, source.is_encrypted, origin, comment, change, "rollback")

    def _selected(self, selector: ConfigSelector) -> Iterator[_Document]:
        return (
            document for document in self._documents.values() if _selects(selector, document.path) and not document.latest.deleted
        )

    def _written(self, path: ConfigPath) -> _Document:
        document = self._documents.get(path)
        if document is None:
            raise NotFoundError(f"{path} does not exist")
        return document

    def _live(self, path: ConfigPath, expected_version: int | None) -> _Document:
        document = self._written(path)
        latest = document.latest
        if latest.deleted:
            raise _missing(document, None)
        if expected_version is not None and latest.number != expected_version:
            raise ConflictError(f"{path} is at version {latest.number}", expected=expected_version, actual=latest.number)
        return document

    def _write(
        self,
        document: _Document,
        value: JsonValue,
        is_encrypted: bool,  # noqa: FBT001
        origin: Origin,
        comment: str | None,
        change: Change,
        action: str,
    ) -> ConfigVersion:
        number = document.latest.number + 1 if document.versions else 1
        document.add(_Version(number, value, is_encrypted, change.at, origin.changed_by, comment))
        self._tell(document, origin, change, action)
        return document.shown(document.latest)

    def _tell(self, document: _Document, origin: Origin, change: Change, action: str) -> None:
        latest = document.latest
        change.record("config", action, str(document.path), latest.number, origin)
        change.events.append(
            ConfigChanged(change.next_id(), document.path, latest.number, latest.deleted, change.at, origin.changed_by)
        )


def _kept(value: JsonValue, comment: str | None) -> JsonValue:
    _check_comment(comment)
    return values.decode(values.encode(value))


def _check_comment(comment: str | None) -> None:
    if comment is not None:
        check_text(comment, limit=1024, pointer="/comment")


def _selects(selector: ConfigSelector, path: ConfigPath) -> bool:
    return (
        (selector.environments is None or path.environment in selector.environments)
        and (selector.services is None or path.service_name in selector.services)
        and (selector.keys is None or path.key in selector.keys)
    )


def _missing(document: _Document, version: int | None) -> NotFoundError:
    latest = document.latest
    what = f"{document.path} was deleted" if version is None else f"{document.path} has no version {version} (any more)"
    return NotFoundError(what, deleted=latest.deleted, version=latest.number if latest.deleted else 0)
