"""Configuration on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from configkit.models import ConfigVersion
from configkit_server.wire.text import Body, Comment, Document, Environment, Key, ServiceName, Value, Version


class ConfigCreate(Body):
    """A new key with its first value."""

    key: Key
    value: Value
    environment: Environment
    service_name: ServiceName
    is_encrypted: bool = False
    comment: Comment | None = None


class ConfigUpdate(Body):
    """A new value of a key that is there; without `is_encrypted` the secret mark stays as it is."""

    value: Value
    is_encrypted: bool | None = None
    comment: Comment | None = None
    expected_version: Version | None = None
    adopt: bool = False


class ConfigRollback(Body):
    """The version whose value becomes the new version's."""

    version: Version
    comment: Comment | None = None


class ConfigBulk(Body):
    """Many keys of one service at once; without `keys` all of them."""

    environment: Environment
    service_name: ServiceName
    keys: list[Key] | None = Field(None, max_length=500)
    resolve: bool = False
    reveal: bool = False


class Config(Document):
    """A configuration value; `value` is null only where `masked`."""

    key: str
    value: Any
    environment: str
    service_name: str
    is_encrypted: bool
    masked: bool
    version: int
    created_at: datetime
    updated_at: datetime
    changed_by: str | None
    comment: str | None
    ever_secret: bool = Field(description="Some version of the key was secret: every version is masked to whom may not read it.")
    source: str | None = Field(None, description="With `resolve`: the service or `_shared`, where the value comes from.")


class ConfigPage(Document):
    """A page of configuration values."""

    items: list[Config]
    total: int
    limit: int
    offset: int


class ConfigHistoryEntry(Document):
    """One version of a value; of a deleted one the value, its author and comment are null."""

    version: int
    value: Any
    masked: bool
    is_encrypted: bool
    created_at: datetime
    changed_by: str | None
    comment: str | None
    deleted: bool
    ever_secret: bool
    key_created_at: datetime = Field(description="When the key got its first version.")


class ConfigHistory(Document):
    """Versions, newest first."""

    items: list[ConfigHistoryEntry]
    total: int
    limit: int
    offset: int


class ConfigBulkResult(Document):
    """The keys that are there, and the names of those that are not. Not a snapshot across keys."""

    items: dict[str, Config]
    missing: list[str]


def config_document(document: ConfigVersion, *, masked: bool, source: str | None = None) -> dict[str, Any]:
    """Return what goes over the wire for *document*; `source` is only there if given."""
    path = document.path
    shown = {
        "key": path.key,
        "value": None if masked else document.value,
        "environment": path.environment,
        "service_name": path.service_name,
        "is_encrypted": document.is_encrypted,
        "masked": masked,
        "version": document.version,
        "created_at": document.created_at,
        "updated_at": document.updated_at,
        "changed_by": document.changed_by,
        "comment": document.comment,
        "ever_secret": document.ever_secret,
    }
    if source is not None:
        shown["source"] = source
    return shown


def history_document(version: ConfigVersion, *, masked: bool) -> dict[str, Any]:
    """Return what goes over the wire for one version of a key's history."""
    return {
        "version": version.version,
        "value": None if masked or version.deleted else version.value,
        "masked": masked and not version.deleted,
        "is_encrypted": version.is_encrypted,
        "created_at": version.updated_at,
        "changed_by": None if version.deleted else version.changed_by,
        "comment": None if version.deleted else version.comment,
        "deleted": version.deleted,
        "ever_secret": version.ever_secret,
        "key_created_at": version.created_at,
    }
