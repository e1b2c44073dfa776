"""
Configuration in Vault's KV engine version 1: the values, without their past.

That engine keeps one value of a key, knows no time and compares nothing. So there is no history, no rollback, no version to
read back or to insist on, and of two writers at once the later one wins unnoticed. What can be done is done: the time of the
write in milliseconds stands for the version, so that a later value has a higher one, even after a delete.
"""

from __future__ import annotations

import builtins
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from hvac.api.secrets_engines import KvV1

from configkit.backends.vault.answers import AbsentError, documented, moment, payload
from configkit.backends.vault.listing import Listing
from configkit.backends.vault.session import Session
from configkit.backends.vault.shape import Content, Draft, Fields, content
from configkit.backends.vault.transport import Call
from configkit.errors import ConflictError, InvalidDocumentError, NotFoundError
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Origin, Page
from configkit.values import JsonValue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BESIDE = ("version", "created_at", "ever_secret")
"""Fields that version 2 of the engine keeps itself, or beside the versions."""


@dataclass(frozen=True, slots=True)
class Kept:
    """
    What lies at a path.

    Attributes:
        version: Milliseconds since 1970 of the write; 1 where another program wrote it.
    """

    version: int
    created_at: datetime
    ever_secret: bool
    content: Content = field(repr=False)


class VaultKv1ConfigStore:
    """
    A `ConfigStore` as far as a KV engine of version 1 can be one.

    History, rollback and expected versions are refused with `InvalidDocumentError`. `create` looks before it writes, but two
    that do so at once both succeed. Deleting removes the value for good.
    """

    def __init__(self, session: Session, *, environments: frozenset[str] | None = None) -> None:
        self._session = self.session = session
        self._mount = session.mount
        self._listing = Listing(session, self, self._live_or_none, environments=environments)
        self.ping = session.ping
        self.close = session.close

    def __repr__(self) -> str:
        return f"<VaultKv1ConfigStore {self._session!r}>"

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._session.after_fork()
        self._listing.forget()

    def read(self, path: ConfigPath, version: int | None = None) -> ConfigVersion:
        """Return the value. Raises `NotFoundError`, for every version but the present one too."""
        found = self._live(self._session.call("read"), path)
        if version is not None and version != found.version:
            raise NotFoundError(f"{path} has no version {version}: the KV engine version 1 keeps only the latest value")
        return _document(path, found)

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        """Return every key of a service."""
        return self._listing.service(self._session.call("read"), environment, service_name)

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return keys by (environment, service_name, key)."""
        return self._listing.page(self._session.call("list"), selector, limit=limit, offset=offset)

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """Write a value where there is none. Raises `ConflictError`."""
        draft = Draft.of(value, is_encrypted=is_encrypted, changed_by=origin.changed_by, comment=comment)
        call = self._session.call("create")
        found = self._read(call, path)
        if found is not None:
            raise ConflictError(f"{path} exists; update it instead", expected=0, actual=found.version)
        return self._write(call, path, draft, None)

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
        """Replace the value. Raises `NotFoundError`, and `InvalidDocumentError` where a version is expected."""
        draft = Draft.of(value, is_encrypted=True, changed_by=origin.changed_by, comment=comment)
        _refuse_expectation(expected_version)
        call = self._session.call("update")
        found = self._live(call, path)
        if found.content.is_foreign and not adopt:
            raise ConflictError(
                f"{path} holds fields that another program wrote; adopt it to replace them", expected=None, actual=found.version
            )
        mark = found.content.is_encrypted if is_encrypted is None else is_encrypted
        return self._write(call, path, replace(draft, is_encrypted=mark), found)

    def delete(
        self,
        path: ConfigPath,
        *,
        origin: Origin,  # noqa: ARG002  # nothing of a deleted value stays
        expected_version: int | None = None,
    ) -> int:
        """Remove the value and return the version it had. Raises `NotFoundError`."""
        _refuse_expectation(expected_version)
        call = self._session.call("delete")
        found = self._live(call, path)
        self._session.ask(call, lambda adapter: KvV1(adapter).delete_secret(str(path), mount_point=self._mount))
        self._listing.gone(path)
        return found.version

    def history(self, path: ConfigPath, *, limit: int, offset: int = 0) -> NoReturn:  # noqa: ARG002
        """Refuse: there is none. Raises `InvalidDocumentError`."""
        raise _beyond("keeps no history")

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> NoReturn:  # noqa: ARG002
        """Refuse: there is nothing to go back to. Raises `InvalidDocumentError`."""
        raise _beyond("keeps no older value to go back to")

    def names(self, call: Call, folder: str) -> builtins.list[str]:
        """Return what lies in *folder*; folders in it end with a slash."""
        try:
            answer = self._session.ask(call, lambda adapter: KvV1(adapter).list_secrets(folder, mount_point=self._mount))
        except AbsentError:
            return []
        with documented(call.operation):
            return [str(name) for name in payload(call.operation, answer)["data"]["keys"]]

    def _read(self, call: Call, path: ConfigPath) -> Kept | None:
        try:
            answer = self._session.ask(call, lambda adapter: KvV1(adapter).read_secret(str(path), mount_point=self._mount))
        except AbsentError:
            return None
        with documented(call.operation):
            return _kept(payload(call.operation, answer)["data"])

    def _live(self, call: Call, path: ConfigPath) -> Kept:
        found = self._read(call, path)
        if found is None:
            raise NotFoundError(f"{path} does not exist")
        return found

    def _live_or_none(self, call: Call, path: ConfigPath) -> ConfigVersion | None:
        found = self._read(call, path)
        return None if found is None else _document(path, found)

    def _write(self, call: Call, path: ConfigPath, draft: Draft, found: Kept | None) -> ConfigVersion:
        now = time.time_ns() // 1_000_000
        version = now if found is None else max(now, found.version + 1)
        ever_secret = draft.is_encrypted or (found is not None and found.ever_secret)
        at = _time_of(version)
        beside = {
            "version": str(version),
            "created_at": (found.created_at if found else at).isoformat(),
            "ever_secret": ever_secret,
        }
        fields: Fields = {**draft.fields(), **beside}
        self._session.ask(
            call,
            lambda adapter: KvV1(adapter).create_or_update_secret(str(path), secret=fields, method="POST", mount_point=self._mount),
        )
        self._listing.seen(path)
        return _document(path, _kept(fields))


def _kept(fields: Mapping[str, Any]) -> Kept:
    said = content({name: item for name, item in fields.items() if name not in _BESIDE})
    try:
        version, created_at = int(fields["version"]), moment(fields["created_at"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return Kept(1, _EPOCH, ever_secret=True, content=content(fields))
    return Kept(version, created_at, fields.get("ever_secret") is not False or said.is_encrypted, said)


def _document(path: ConfigPath, found: Kept) -> ConfigVersion:
    said = found.content
    return ConfigVersion(
        path=path,
        version=found.version,
        value=said.value,
        is_encrypted=said.is_encrypted,
        ever_secret=found.ever_secret,
        created_at=found.created_at,
        updated_at=_time_of(found.version) if found.version > 1 else _EPOCH,
        changed_by=said.changed_by,
        comment=said.comment,
    )


def _time_of(version: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=version)


def _refuse_expectation(expected_version: int | None) -> None:
    if expected_version is not None:
        raise _beyond("cannot compare versions, so a write cannot insist on one", pointer="/expected_version")


def _beyond(what: str, *, pointer: str = "") -> InvalidDocumentError:
    return InvalidDocumentError(f"Vault's KV engine version 1 {what}; version 2 does (VAULT_KV_VERSION=2)", pointer=pointer)
