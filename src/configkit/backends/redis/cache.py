"""The `Cache` in Redis: documents that are not secret, as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from configkit.backends.redis.entries import Entries
from configkit.backends.redis.link import Link
from configkit.errors import ConfigKitError, InvalidDocumentError
from configkit.models import ConfigPath, ConfigVersion

KEPT_SECONDS = 120.0
MAX_PATHS = 100_000


class RedisCache:
    """
    A `Cache` that every process of a deployment shares.

    Every call raises `UnavailableError` where Redis does not answer by the deadline, and `AccessDeniedError` where it
    refuses the credentials. An entry that is not a document of this path is as good as none.

    Args:
        seconds: How long an entry is kept, less up to a fifth by chance.
    """

    def __init__(self, link: Link, namespace: str, *, seconds: float = KEPT_SECONDS) -> None:
        self._entries = Entries(link, f"{namespace}:config:")
        self._seconds = seconds

    def get(self, path: ConfigPath) -> ConfigVersion | None:
        """Return what is known, tombstones included; None: nothing is."""
        there = self._entries.load(str(path))
        return None if there is None else decoded(path, *there)

    def put(self, document: ConfigVersion, *, replace: bool = False) -> bool:
        """
        Keep *document* if it is newer than what is there (or in any case, with *replace*); return whether it was kept.

        Raises:
            InvalidDocumentError: It is secret, or was withheld; nothing was sent.
        """
        content = encoded(document)
        return self._entries.keep(str(document.path), order(document), content, seconds=self._seconds, replace=replace)

    def paths(self) -> list[ConfigPath]:
        """Return the path of every entry, tombstones included, and of 100 000 at most."""
        return [path for name in self._entries.names(limit=MAX_PATHS) if (path := _path(name)) is not None]

    def clear(self) -> None:
        """Forget everything."""
        for path in self.paths():
            self._entries.drop(str(path))


def order(document: ConfigVersion) -> int:
    """Return `ConfigVersion.order` as one number."""
    return document.version * 2 + document.deleted


def encoded(document: ConfigVersion) -> bytes:
    """Return *document* as JSON. Raises `InvalidDocumentError` for what must never leave the process and the store."""
    if document.is_encrypted or document.ever_secret or document.masked:
        raise InvalidDocumentError(f"{document.path} is secret: it is never kept in Redis")
    fields = {
        "path": str(document.path),
        "value": document.value,
        "created_at": document.created_at.isoformat(),
        "updated_at": document.updated_at.isoformat(),
        "changed_by": document.changed_by,
        "comment": document.comment,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=dict).encode()


def decoded(path: ConfigPath, number: int, content: bytes) -> ConfigVersion | None:
    """Return the document of *path* that *content* is; None: it is something else."""
    try:
        fields = json.loads(content)
        if not isinstance(fields, dict) or fields["path"] != str(path):
            return None
        return ConfigVersion(
            path,
            number // 2,
            fields["value"],
            is_encrypted=False,
            ever_secret=False,
            created_at=_time(fields["created_at"]),
            updated_at=_time(fields["updated_at"]),
            changed_by=_text(fields["changed_by"]),
            comment=_text(fields["comment"]),
            deleted=bool(number % 2),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _time(text: Any) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _text(given: Any) -> str | None:
    if given is not None and not isinstance(given, str):
        raise TypeError("neither text nor null")
    return given


def _path(name: str) -> ConfigPath | None:
    try:
        return ConfigPath(*name.split("/"))
    except (ConfigKitError, TypeError):
        return None
