"""The KV engine, version 2: one request each, through hvac."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hvac.api.secrets_engines import KvV2

from configkit.backends.vault.answers import AbsentError, documented, moment, payload
from configkit.backends.vault.session import Session
from configkit.backends.vault.shape import Content, Fields, content
from configkit.backends.vault.transport import Call

MAX_VERSIONS = 100
LARGEST = 2**31 - 1

_MERGE = {"Content-Type": "application/merge-patch+json"}


@dataclass(frozen=True, slots=True)
class Secret:
    """
    One version of a secret.

    Attributes:
        content: None where the version is deleted or destroyed.
        custom: The key's custom metadata, which all its versions share.
    """

    version: int
    at: datetime
    content: Content | None = field(repr=False)
    custom: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Metadata:
    """
    What is known of a key besides its values.

    Attributes:
        versions: When each version that is kept was written, and whether it is deleted.
        max_versions: How many are kept; 0: as the mount says, or 10.
    """

    created_at: datetime
    versions: Mapping[int, tuple[datetime, bool]]
    max_versions: int
    custom: Mapping[str, str]


class Engine:
    """Reads and writes secrets at paths that were checked before: hvac would normalise what is no path, and leave the mount."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._mount = session.mount

    def read(self, call: Call, path: str, version: int | None = None) -> Secret | None:
        """Return the version, or the latest; None where there is none."""
        try:
            answer = self._session.ask(
                call,
                lambda adapter: KvV2(adapter).read_secret_version(
                    path, version=version, mount_point=self._mount, raise_on_deleted_version=True
                ),
            )
        except AbsentError as absent:
            if absent.body is None:
                return None
            with documented(call.operation):
                return _secret(absent.body["metadata"], None)
        with documented(call.operation):
            data = payload(call.operation, answer)["data"]
            return _secret(data["metadata"], content(data["data"] or {}))

    def write(self, call: Call, path: str, fields: Fields, cas: int) -> tuple[int, datetime]:
        """
        Write the next version after *cas* and return its number and time.

        Raises:
            MismatchError: The latest version is not *cas*; 0 means "there is none".
        """
        answer = self._session.ask(
            call,
            lambda adapter: KvV2(adapter).create_or_update_secret(path, secret=fields, cas=cas, mount_point=self._mount),
        )
        with documented(call.operation):
            data = payload(call.operation, answer)["data"]
            return int(data["version"]), moment(data["created_time"])

    def delete(self, call: Call, path: str, version: int) -> None:
        """Soft-delete exactly that version."""
        self._session.ask(
            call, lambda adapter: KvV2(adapter).delete_secret_versions(path, versions=[version], mount_point=self._mount)
        )

    def metadata(self, call: Call, path: str) -> Metadata | None:
        """Return what is known of the key; None where it was never written."""
        try:
            answer = self._session.ask(call, lambda adapter: KvV2(adapter).read_secret_metadata(path, mount_point=self._mount))
        except AbsentError:
            return None
        now = datetime.now(UTC)
        with documented(call.operation):
            data = payload(call.operation, answer)["data"]
            return Metadata(
                created_at=moment(data["created_time"]),
                versions={int(number): (moment(of["created_time"]), _is_gone(of, now)) for number, of in data["versions"].items()},
                max_versions=int(data["max_versions"]),
                custom=data.get("custom_metadata") or {},
            )

    def begin(self, call: Call, path: str, custom: Mapping[str, str]) -> None:
        """Make the key, without a version yet, with the number of versions to keep and its custom metadata."""
        body: dict[str, Any] = {"max_versions": MAX_VERSIONS}
        if custom:
            body["custom_metadata"] = dict(custom)
        self._session.ask(call, lambda adapter: adapter.post(self._metadata_url(path), json=body))

    def note(self, call: Call, path: str, custom: Mapping[str, str], *, max_versions: int | None = None) -> None:
        """Add to the key's custom metadata; what else is there stays."""
        body: dict[str, Any] = {"custom_metadata": dict(custom)}
        if max_versions is not None:
            body["max_versions"] = max_versions
        self._session.ask(call, lambda adapter: adapter.request("patch", self._metadata_url(path), headers=_MERGE, json=body))

    def names(self, call: Call, folder: str) -> list[str]:
        """Return what lies in *folder*; folders in it end with a slash."""
        try:
            answer = self._session.ask(call, lambda adapter: KvV2(adapter).list_secrets(folder, mount_point=self._mount))
        except AbsentError:
            return []
        with documented(call.operation):
            return [str(name) for name in payload(call.operation, answer)["data"]["keys"]]

    def _metadata_url(self, path: str) -> str:
        return f"/v1/{self._mount}/metadata/{path}"


def _secret(metadata: Mapping[str, Any], found: Content | None) -> Secret:
    return Secret(int(metadata["version"]), moment(metadata["created_time"]), found, metadata.get("custom_metadata") or {})


def _is_gone(version: Mapping[str, Any], now: datetime) -> bool:
    """Whether it is destroyed or deleted; a deletion may lie ahead (`delete_version_after`)."""
    return bool(version["destroyed"]) or bool(version["deletion_time"] and moment(version["deletion_time"]) <= now)
