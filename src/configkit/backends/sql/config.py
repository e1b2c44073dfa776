"""Configuration with versions, in SQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    false,
    func,
    insert,
    select,
    update,
)

from configkit import values
from configkit.backends.sql.encryption import Cipher
from configkit.backends.sql.engine import Database
from configkit.backends.sql.journal import of_config, record
from configkit.backends.sql.keys import current_key_id
from configkit.backends.sql.schema import Row
from configkit.backends.sql.schema import config_key as head
from configkit.backends.sql.schema import config_version as content
from configkit.errors import ConflictError, NotFoundError
from configkit.models import ConfigPath, ConfigSelector, ConfigVersion, Origin, Page
from configkit.names import check_text
from configkit.values import JsonValue

MAX_VERSIONS = 100
"""How many versions of a key are kept; older ones go with the next write."""

_LARGEST = 2**63 - 1

_HEAD_COLUMNS = (
    head.c.id,
    head.c.environment,
    head.c.service_name,
    head.c.key,
    head.c.version.label("latest"),
    head.c.deleted.label("latest_deleted"),
    head.c.ever_secret,
    head.c.created_at,
)
_CONTENT_COLUMNS = (
    content.c.version,
    content.c.value,
    content.c.ciphertext,
    content.c.master_key_id,
    content.c.is_encrypted,
    content.c.deleted,
    content.c.written_at,
    content.c.changed_by,
    content.c.comment,
)
_AT_PATH = and_(
    head.c.environment == bindparam("environment"), head.c.service_name == bindparam("service_name"), head.c.key == bindparam("key")
)
_OF_HEAD = content.c.config_key_id == head.c.id
_LATEST = select(*_HEAD_COLUMNS, *_CONTENT_COLUMNS).join(content, and_(_OF_HEAD, content.c.version == head.c.version))
_READ = _LATEST.where(_AT_PATH)
_READ_VERSION = (
    select(*_HEAD_COLUMNS, *_CONTENT_COLUMNS)
    .outerjoin(content, and_(_OF_HEAD, content.c.version == bindparam("number")))
    .where(_AT_PATH)
)
_ORDER = (head.c.environment, head.c.service_name, head.c.key)
_OLDEST_FIRST_PLAIN = select(content.c.version, content.c.value).where(
    content.c.config_key_id == bindparam("of"), content.c.value.is_not(None)
)


class SqlConfigStore:
    """A `ConfigStore` that keeps the last 100 versions of a key; every version of a key that was ever secret is encrypted."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    def read(self, path: ConfigPath, version: int | None = None) -> ConfigVersion:
        """Return *version*, or the latest. Raises `NotFoundError`."""
        with self._database.reading("read") as connection:
            row = _find(connection, path, version)
        if row is None or row.version is None or row.deleted:
            raise _missing(path, row, version)
        return self._shown(row)

    def read_service(self, environment: str, service_name: str) -> dict[str, ConfigVersion]:
        """Return every live key of a service."""
        live = _LATEST.where(head.c.environment == environment, head.c.service_name == service_name, head.c.deleted.is_(False))
        with self._database.reading("read") as connection:
            rows = connection.execute(live.order_by(head.c.key)).all()
        return {row.key: self._shown(row) for row in rows}

    def list(self, selector: ConfigSelector, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return live keys by (environment, service_name, key)."""
        selected = _selected(selector)
        page = _LATEST.where(*selected).order_by(*_ORDER).limit(limit).offset(min(offset, _LARGEST))
        with self._database.reading("list", snapshot=True) as connection:
            total = connection.execute(select(func.count()).select_from(head).where(*selected)).scalar_one()
            rows = connection.execute(page).all()
        return Page(tuple(self._shown(row) for row in rows), total, limit, offset)

    def create(
        self, path: ConfigPath, value: JsonValue, *, is_encrypted: bool, origin: Origin, comment: str | None = None
    ) -> ConfigVersion:
        """Write the first version, or the next one after a tombstone. Raises `ConflictError` if the key is there."""
        text = _encoded(value, comment)
        with self._database.writing("create") as connection:
            row = _find(connection, path)
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
        with self._database.writing("update") as connection:
            row = _live(connection, path, expected_version)
            mark = row.is_encrypted if is_encrypted is None else is_encrypted
            written, hidden = self._write(connection, "update", path, row, text, mark, origin, comment)
        self._clear(hidden)
        return written

    def delete(self, path: ConfigPath, *, origin: Origin, expected_version: int | None = None) -> int:
        """Soft-delete the latest version and return its number. Raises `NotFoundError` or `ConflictError`."""
        with self._database.writing("delete") as connection:
            row = _live(connection, path, expected_version)
            number = int(row.latest)
            of_version = and_(content.c.config_key_id == row.id, content.c.version == number)
            connection.execute(update(content).where(of_version).values(deleted=True))
            connection.execute(update(head).where(head.c.id == row.id).values(deleted=True))
            record(connection, self._database.clock.now(), origin, of_config("delete", path, number, deleted=True))
        return number

    def history(self, path: ConfigPath, *, limit: int, offset: int = 0) -> Page[ConfigVersion]:
        """Return the versions, newest first. Raises `NotFoundError` if there never was one."""
        newest_first = (
            select(*_HEAD_COLUMNS, *_CONTENT_COLUMNS)
            .join(content, _OF_HEAD)
            .where(_AT_PATH)
            .order_by(content.c.version.desc())
            .limit(limit)
            .offset(min(offset, _LARGEST))
        )
        count = select(func.count()).select_from(head.join(content, _OF_HEAD)).where(_AT_PATH)
        with self._database.reading("history", snapshot=True) as connection:
            total = connection.execute(count, _names(path)).scalar_one()
            rows = connection.execute(newest_first, _names(path)).all()
        if not total:
            raise _missing(path, None, None)
        return Page(tuple(self._shown(row) for row in rows), total, limit, offset)

    def rollback(self, path: ConfigPath, version: int, *, origin: Origin, comment: str | None = None) -> ConfigVersion:
        """Write the value and the secret mark of *version* as a new version. Raises `NotFoundError`."""
        _check_comment(comment)
        with self._database.writing("rollback") as connection:
            row = _find(connection, path, version)
            if row is None or row.version is None or row.deleted:
                raise _missing(path, row, version)
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
        now = self._database.clock.now()
        number = 1 if row is None else int(row.latest) + 1
        secret = is_encrypted or (row is not None and row.ever_secret)
        created_at = now if row is None else row.created_at
        key_id = _put_head(connection, path, row, number, secret, created_at)
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
        for row in connection.execute(_OLDEST_FIRST_PLAIN, {"of": key_id}).all():
            of_version = and_(content.c.config_key_id == key_id, content.c.version == row.version)
            stored = self._stored(connection, path, row.version, row.value)
            connection.execute(update(content).where(of_version).values(**stored))

    def _clear(self, hidden: bool) -> None:  # noqa: FBT001
        if hidden:
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


def _names(path: ConfigPath) -> dict[str, str]:
    return {"environment": path.environment, "service_name": path.service_name, "key": path.key}


def _find(connection: Connection, path: ConfigPath, version: int | None = None) -> Row | None:
    """Return the key's head with *version* or the latest beside it, whose columns are null where there is none."""
    if version is None:
        return connection.execute(_READ, _names(path)).one_or_none()
    number = version if 0 < version <= _LARGEST else 0
    return connection.execute(_READ_VERSION, {**_names(path), "number": number}).one_or_none()


def _live(connection: Connection, path: ConfigPath, expected_version: int | None) -> Row:
    row = _find(connection, path)
    if row is None or row.latest_deleted:
        raise _missing(path, row, None)
    if expected_version is not None and row.latest != expected_version:
        raise ConflictError(f"{path} is at version {row.latest}", expected=expected_version, actual=row.latest)
    return row


def _missing(path: ConfigPath, row: Row | None, version: int | None) -> NotFoundError:
    if row is None:
        return NotFoundError(f"{path} does not exist")
    what = f"{path} was deleted" if version is None else f"{path} has no version {version} (any more)"
    return NotFoundError(what, deleted=row.latest_deleted, version=row.latest if row.latest_deleted else 0)


def _put_head(
    connection: Connection,
    path: ConfigPath,
    row: Row | None,
    number: int,
    secret: bool,  # noqa: FBT001
    created_at: datetime,
) -> int:
    changed = {"version": number, "deleted": False, "ever_secret": secret}
    if row is not None:
        connection.execute(update(head).where(head.c.id == row.id).values(**changed))
        return int(row.id)
    added = connection.execute(insert(head).values(**_names(path), created_at=created_at, **changed)).inserted_primary_key
    assert added is not None  # noqa: S101
    return int(added[0])


def _selected(selector: ConfigSelector) -> list[ColumnElement[bool]]:
    chosen: list[ColumnElement[bool]] = [head.c.deleted.is_(False)]
    for column, wanted in (
        (head.c.environment, selector.environments),
        (head.c.service_name, selector.services),
        (head.c.key, selector.keys),
    ):
        if wanted is not None:
            chosen.append(column.in_(sorted(wanted)) if wanted else false())
    return chosen


def _encoded(value: JsonValue, comment: str | None) -> str:
    _check_comment(comment)
    return values.encode(value)


def _check_comment(comment: str | None) -> None:
    if comment is not None:
        check_text(comment, limit=1024, pointer="/comment")
