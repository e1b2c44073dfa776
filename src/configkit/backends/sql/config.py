"""Configuration with versions, in SQL."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from configkit import values
from configkit.backends.sql.config_rows import (
    AT_PATH,
    CONTENT_COLUMNS,
    HEAD_COLUMNS,
    LARGEST,
    LATEST,
    OF_HEAD,
    ORDER,
    PLAIN,
    find,
    live,
    missing,
    names_of,
    put_head,
    selected,
)
from configkit.backends.sql.database import Database
from configkit.backends.sql.encryption import Cipher
from configkit.backends.sql.journal import of_config, record
from configkit.backends.sql.keys import current_key_id
from configkit.backends.sql.schema import Row
from configkit.backends.sql.schema import config_key as head
from configkit.backends.sql.schema import config_version as content
from configkit.errors import ConfigKitError, ConflictError
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Origin, Page
from configkit.names import check_text
from configkit.values import JsonValue

MAX_VERSIONS = 100
"""How many versions of a key are kept; older ones go with the next write."""


class SqlConfigStore:
    """A `ConfigStore` that keeps the last 100 versions of a key; every version of a key that was ever secret is encrypted."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    def read(self, path: ConfigPath, version: int | None = None) -> ConfigVersion:
        """Return *version*, or the latest. Raises `NotFoundError`."""
        with self._database.reading("read") as connection:
            row = find(connection, path, version)
        if row is None or row.version is None or row.deleted:
            raise missing(path, row, version)
        return self._shown(row)

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        """Return every live key of a service."""
        of_service = LATEST.where(head.c.environment == environment, head.c.service_name == service_name)
        with self._database.reading("read") as connection:
            rows = connection.execute(of_service.where(head.c.deleted.is_(False)).order_by(head.c.key)).all()
        return {row.key: self._shown(row) for row in rows}

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return live keys by (environment, service_name, key)."""
        chosen = selected(selector)
        page = LATEST.where(*chosen).order_by(*ORDER).limit(limit).offset(min(offset, LARGEST))
        with self._database.reading("list", snapshot=True) as connection:
            total = connection.execute(select(func.count()).select_from(head).where(*chosen)).scalar_one()
            rows = connection.execute(page).all()
        return Page(tuple(self._shown(row) for row in rows), total, limit, offset)

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """Write the first version, or the next one after a tombstone. Raises `ConflictError` if the key is there."""
        text = _encoded(value, comment)
        with self._database.writing("create", "config", str(path)) as connection:
            row = find(connection, path)
            if row is not None and not row.latest_deleted:
                raise ConflictError(f"{path} exists; update it instead", expected=0, actual=row.latest)
            written, hidden = self._write(connection, "create", path, row, text, is_encrypted, origin, comment)
        self._clear(hidden)
        return written

    def update(
        self,
        path: ConfigPath,
        value: JsonValue,
        *,
        origin: Origin,
        is_encrypted: bool | None = None,
        expected_version: int | None = None,
        comment: str | None = None,
        adopt: bool = False,  # noqa: ARG002  (no other program writes here)
    ) -> ConfigVersion:
        """Write the next version of a key that is there. Raises `NotFoundError` or `ConflictError`."""
        text = _encoded(value, comment)
        with self._database.writing("update", "config", str(path)) as connection:
            row = live(connection, path, expected_version)
            mark = row.is_encrypted if is_encrypted is None else is_encrypted
            written, hidden = self._write(connection, "update", path, row, text, mark, origin, comment)
        self._clear(hidden)
        return written

    def delete(self, path: ConfigPath, *, origin: Origin, expected_version: int | None = None) -> int:
        """Soft-delete the latest version and return its number. Raises `NotFoundError` or `ConflictError`."""
        with self._database.writing("delete", "config", str(path)) as connection:
            row = live(connection, path, expected_version)
            number = int(row.latest)
            of_version = and_(content.c.config_key_id == row.id, content.c.version == number)
            connection.execute(update(content).where(of_version).values(deleted=True))
            connection.execute(update(head).where(head.c.id == row.id).values(deleted=True))
            record(connection, self._database.moment(connection).now, origin, of_config("delete", path, number, deleted=True))
        return number

    def history(self, path: ConfigPath, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return the versions, newest first. Raises `NotFoundError` if there never was one."""
        newest_first = (
            select(*HEAD_COLUMNS, *CONTENT_COLUMNS)
            .join(content, OF_HEAD)
            .where(AT_PATH)
            .order_by(content.c.version.desc())
            .limit(limit)
            .offset(min(offset, LARGEST))
        )
        count = select(func.count()).select_from(head.join(content, OF_HEAD)).where(AT_PATH)
        with self._database.reading("history", snapshot=True) as connection:
            total = connection.execute(count, names_of(path)).scalar_one()
            rows = connection.execute(newest_first, names_of(path)).all()
        if not total:
            raise missing(path, None, None)
        return Page(tuple(self._shown(row) for row in rows), total, limit, offset)

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> ConfigVersion:
        """Write the value and the secret mark of *version* as a new version. Raises `NotFoundError`."""
        _check_comment(comment)
        with self._database.writing("rollback", "config", str(path)) as connection:
            row = find(connection, path, version)
            if row is None or row.version is None or row.deleted:
                raise missing(path, row, version)
            text = self._text(path, row)
            written, hidden = self._write(connection, "rollback", path, row, text, row.is_encrypted, origin, comment)
        self._clear(hidden)
        return written

    def _write(
        self,
        connection: Connection,
        action: str,
        path: ConfigPath,
        row: Row | None,
        text: str,
        is_encrypted: bool,  # noqa: FBT001
        origin: Origin,
        comment: str | None,
    ) -> tuple[ConfigVersion, bool]:
        """Write the next version; return it, and whether values that lay there in the clear were encrypted."""
        now = self._database.moment(connection).now
        number = 1 if row is None else int(row.latest) + 1
        secret = is_encrypted or (row is not None and row.ever_secret)
        created_at = now if row is None else row.created_at
        key_id = put_head(connection, path, row, number, secret, created_at)
        stored = self._stored(connection, path, number, text) if secret else {"value": text}
        connection.execute(
            insert(content).values(
                config_key_id=key_id,
                version=number,
                is_encrypted=is_encrypted,
                deleted=False,
                written_at=now,
                changed_by=origin.changed_by,
                comment=comment,
                **stored,
            )
        )
        hidden = secret and row is not None and not row.ever_secret
        if hidden:
            self._hide(connection, path, key_id)
        if number > MAX_VERSIONS:
            old = and_(content.c.config_key_id == key_id, content.c.version <= number - MAX_VERSIONS)
            connection.execute(delete(content).where(old))
        record(connection, now, origin, of_config(action, path, number))
        shown = ConfigVersion(path, number, values.decode(text), is_encrypted, secret, created_at, now, origin.changed_by, comment)
        return shown, hidden

    def _stored(self, connection: Connection, path: ConfigPath, number: int, text: str) -> dict[str, Any]:
        master_key_id = current_key_id(connection)
        ciphertext = self._cipher.encrypt(path, number, text, master_key_id)
        return {"value": None, "ciphertext": ciphertext, "master_key_id": master_key_id}

    def _hide(self, connection: Connection, path: ConfigPath, key_id: int) -> None:
        for row in connection.execute(PLAIN, {"of": key_id}).all():
            of_version = and_(content.c.config_key_id == key_id, content.c.version == row.version)
            stored = self._stored(connection, path, row.version, row.value)
            connection.execute(update(content).where(of_version).values(**stored))

    def _clear(self, hidden: bool) -> None:  # noqa: FBT001
        if hidden:
            with suppress(ConfigKitError):  # the write is committed, and the log is overwritten after a later one then
                self._database.overwrite_log()

    def _text(self, path: ConfigPath, row: Row) -> str:
        if row.ciphertext is None:
            return str(row.value)
        return self._cipher.decrypt(path, row.version, row.ciphertext, row.master_key_id)

    def _shown(self, row: Row) -> ConfigVersion:
        path = ConfigPath(row.environment, row.service_name, row.key)
        return ConfigVersion(
            path=path,
            version=row.version,
            value=None if row.deleted else values.decode(self._text(path, row)),
            is_encrypted=row.is_encrypted,
            ever_secret=row.ever_secret,
            created_at=row.created_at,
            updated_at=row.written_at,
            changed_by=None if row.deleted else row.changed_by,
            comment=None if row.deleted else row.comment,
            deleted=row.deleted,
        )


def _encoded(value: JsonValue, comment: str | None) -> str:
    _check_comment(comment)
    return values.encode(value)


def _check_comment(comment: str | None) -> None:
    if comment is not None:
        check_text(comment, limit=1024, pointer="/comment")
