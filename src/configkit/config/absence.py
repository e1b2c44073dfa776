"""The documents that say: there is no value."""

from __future__ import annotations

from datetime import UTC, datetime

from configkit.models import ConfigPath, ConfigVersion

_NEVER = datetime.fromtimestamp(0, UTC)


def absence(path: ConfigPath) -> ConfigVersion:
    """Return the document that says: nothing was ever written at *path*."""
    return tombstone(path, 0, _NEVER)


def tombstone(path: ConfigPath, version: int, at: datetime) -> ConfigVersion:
    """Return the document that says: *version* of *path* is deleted."""
    return ConfigVersion(path, version, None, is_encrypted=False, ever_secret=False, created_at=at, updated_at=at, deleted=True)
