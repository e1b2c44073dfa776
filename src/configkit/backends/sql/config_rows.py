"""The rows of configuration: how they are selected, and what it means where one is missing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, bindparam, false, insert, select, update

from configkit.backends.sql.schema import Row
from configkit.backends.sql.schema import config_key as head
from configkit.backends.sql.schema import config_version as content
from configkit.errors import ConflictError, NotFoundError
from configkit.models import ConfigPath, ConfigSelector

LARGEST = 2**63 - 1

HEAD_COLUMNS = (
    head.c.id,
    head.c.environment,
    head.c.service_name,
    head.c.key,
    head.c.version.label("latest"),
    head.c.deleted.label("latest_deleted"),
    head.c.ever_secret,
    head.c.created_at,
)
CONTENT_COLUMNS = (
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
AT_PATH = and_(
    head.c.environment == bindparam("environment"), head.c.service_name == bindparam("service_name"), head.c.key == bindparam("key")
)
OF_HEAD = content.c.config_key_id == head.c.id
LATEST = select(*HEAD_COLUMNS, *CONTENT_COLUMNS).join(content, and_(OF_HEAD, content.c.version == head.c.version))
_READ = LATEST.where(AT_PATH)
_READ_VERSION = (
    select(*HEAD_COLUMNS, *CONTENT_COLUMNS)
    .outerjoin(content, and_(OF_HEAD, content.c.version == bindparam("number")))
    .where(AT_PATH)
)
ORDER = (head.c.environment, head.c.service_name, head.c.key)
PLAIN = select(content.c.version, content.c.value).where(content.c.config_key_id == bindparam("of"), content.c.value.is_not(None))


def names_of(path: ConfigPath) -> dict[str, str]:
    """Return the columns that make up *path*."""
    return {"environment": path.environment, "service_name": path.service_name, "key": path.key}


def find(connection: Connection, path: ConfigPath, version: int | None = None) -> Row | None:
    """Return the key's head with *version* or the latest beside it, whose columns are null where there is none."""
    if version is None:
        return connection.execute(_READ, names_of(path)).one_or_none()
    number = version if 0 < version <= LARGEST else 0
    return connection.execute(_READ_VERSION, {**names_of(path), "number": number}).one_or_none()


def live(connection: Connection, path: ConfigPath, expected_version: int | None) -> Row:
    """Return the key's latest version. Raises `NotFoundError`, or `ConflictError` if it is another than expected."""
    row = find(connection, path)
    if row is None or row.latest_deleted:
        raise missing(path, row, None)
    if expected_version is not None and row.latest != expected_version:
        raise ConflictError(f"{path} is at version {row.latest}", expected=expected_version, actual=row.latest)
    return row


def missing(path: ConfigPath, row: Row | None, version: int | None) -> NotFoundError:
    """Return the error for *version* of *path*, whose head is *row*."""
    if row is None:
        return NotFoundError(f"{path} does not exist")
    what = f"{path} was deleted" if version is None else f"{path} has no version {version} (any more)"
    return NotFoundError(what, deleted=row.latest_deleted, version=row.latest if row.latest_deleted else 0)


def put_head(
    connection: Connection,
    path: ConfigPath,
    row: Row | None,
    number: int,
    secret: bool,  # noqa: FBT001
    created_at: datetime,
) -> int:
    """Write the head of *path*, in place of *row*, and return its id."""
    changed = {"version": number, "deleted": False, "ever_secret": secret}
    if row is not None:
        connection.execute(update(head).where(head.c.id == row.id).values(**changed))
        return int(row.id)
    added = connection.execute(insert(head).values(**names_of(path), created_at=created_at, **changed)).inserted_primary_key
    assert added is not None  # noqa: S101
    return int(added[0])


def selected(selector: ConfigSelector) -> list[ColumnElement[bool]]:
    """Return what holds for the heads of the live keys that *selector* is about."""
    chosen: list[ColumnElement[bool]] = [head.c.deleted.is_(False)]
    for column, wanted in (
        (head.c.environment, selector.environments),
        (head.c.service_name, selector.services),
        (head.c.key, selector.keys),
    ):
        if wanted is not None:
            chosen.append(column.in_(sorted(wanted)) if wanted else false())
    return chosen
