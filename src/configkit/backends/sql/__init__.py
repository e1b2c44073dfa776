"""
Configuration, flags, registry and records in SQL: everything of the embedded mode on one SQLite file, and all but the
configuration itself of the direct mode in PostgreSQL.

The stores are written once, for both (`database` is what they ask for). Changes are told through the journal (`bus`).
Any number of processes of one machine share the file; secrets in it are encrypted (`encryption`), and its tables are
made and brought up to date when it is opened (`migrate`). What is PostgreSQL's own is in `postgres`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from configkit.errors import MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from configkit.backends.sql.clock import Clock
    from configkit.backends.sql.postgres.opening import PostgresPieces, Role
    from configkit.ports import Backends

__all__ = ["SCHEMA", "drop_postgres", "key_file_of", "migrate_postgres", "open_postgres", "open_sqlite", "rotate_master_key"]

SCHEMA = "configkit"
"""The PostgreSQL schema that the tables lie in."""

_NEEDED = ("sqlalchemy", "alembic", "cryptography")
_NEEDED_FOR_POSTGRES = ("sqlalchemy", "alembic", "psycopg")


def open_sqlite(
    url_or_path: str, *, master_key: SecretStr | str | None, deadline: float = 5.0, clock: Clock | None = None
) -> Backends:
    """
    Return the deployment that lives in an SQLite file; the file is made, with its folders, if it is not there.

    Args:
        url_or_path: ``sqlite:////absolute/path.db``, or a path.
        master_key: What secrets are encrypted with: base64 of 32 random bytes, or a passphrase of at least 16
            characters. None: a key file beside the database (``<file>.key``, mode 0600), made at first start.
        deadline: Seconds within which every call is answered.
        clock: The time that leases run on.

    Raises:
        MasterKeyError: The file was made with another master key, or its key file is gone or open to others.
        UnavailableError: The file cannot be opened.
        BackendError: A newer release has changed the file's tables.
        InvalidDocumentError: *url_or_path* names no file, or *master_key* is too short.
        MissingExtraError: The extra ``embedded`` is not installed.
    """
    _require("embedded", "the embedded mode", _NEEDED)
    from configkit.backends.sql.opening import open_file  # noqa: PLC0415

    return open_file(url_or_path, master_key=_revealed(master_key), deadline=deadline, clock=clock)


def rotate_master_key(url_or_path: str, old: SecretStr | str | None, new: SecretStr | str | None) -> int:
    """
    Encrypt every secret in the file under a new key, in one transaction, and return how many there were.

    Args:
        old: The master key until now; None: the key file's.
        new: The master key from now on; None: a new key file replaces the old one.

    Raises:
        MasterKeyError: *old* is not the file's master key.
    """
    _require("embedded", "the embedded mode", _NEEDED)
    from configkit.backends.sql.opening import rotate_file  # noqa: PLC0415

    return rotate_file(url_or_path, _revealed(old), _revealed(new))


def key_file_of(url_or_path: str) -> Path:
    """Return where the key file of the database lies, or would lie. Raises `InvalidDocumentError` if it names no file."""
    _require("embedded", "the embedded mode", _NEEDED)
    from configkit.backends.sql.encryption import key_file  # noqa: PLC0415
    from configkit.backends.sql.sqlite import database_path  # noqa: PLC0415

    return key_file(database_path(url_or_path))


def open_postgres(
    url: SecretStr | str,
    *,
    deadline: float = 5.0,
    migrate: bool,
    role: Role,
    schema: str = SCHEMA,
    listens: bool = True,
) -> PostgresPieces:
    """
    Return what of a deployment lives in a PostgreSQL database.

    Where the server cannot be reached it is opened all the same, within a second: its operations raise
    `UnavailableError` until the server is there.

    Args:
        url: ``postgresql://user:password@host:5432/database``, or another spelling of it (``postgres://``,
            ``postgresql+asyncpg://``).
        deadline: Seconds within which every call is answered.
        migrate: Make the tables, or bring them up to date; otherwise they must be there. A server's part.
        role: What this process is; a library uses fewer connections.
        schema: Where the tables lie.
        listens: Hear of changes by the database's notices, too, instead of only by looking twice a second.

    Raises:
        AccessDeniedError: The server refused the user or the password; or the user may not make the tables.
        BackendError: The tables are of a release that this one cannot work with.
        InvalidDocumentError: *url* is no such URL.
        MissingExtraError: The extra ``postgres`` is not installed.
    """
    _require("postgres", "PostgreSQL", _NEEDED_FOR_POSTGRES)
    from configkit.backends.sql.postgres.opening import open_database  # noqa: PLC0415

    given = _revealed(url) or ""
    return open_database(given, deadline=deadline, migrating=migrate, role=role, schema=schema, listens=listens)


def migrate_postgres(url: SecretStr | str, *, deadline: float = 5.0, schema: str = SCHEMA) -> str:
    """
    Make the tables in a PostgreSQL database, or bring them up to date, and return the number of their migration.

    Raises:
        UnavailableError: The server cannot be reached.
        AccessDeniedError: It refused the user, or the user may not make the tables.
        BackendError: A newer release has migrated it further than this one can work with.
        InvalidDocumentError: *url* is no such URL.
        MissingExtraError: The extra ``postgres`` is not installed.
    """
    _require("postgres", "PostgreSQL", _NEEDED_FOR_POSTGRES)
    from configkit.backends.sql.postgres.opening import migrate_database  # noqa: PLC0415

    return migrate_database(_revealed(url) or "", deadline=deadline, schema=schema)


def drop_postgres(url: SecretStr | str, *, deadline: float = 5.0, schema: str) -> None:
    """
    Remove a schema with all of its tables: for demonstrations and tests. One that is not there is no error.

    Raises:
        UnavailableError: The server cannot be reached, or somebody uses the tables.
        AccessDeniedError: It refused the user, or the schema is somebody else's.
        MissingExtraError: The extra ``postgres`` is not installed.
    """
    _require("postgres", "PostgreSQL", _NEEDED_FOR_POSTGRES)
    from configkit.backends.sql.postgres.opening import drop_database  # noqa: PLC0415

    drop_database(_revealed(url) or "", deadline=deadline, schema=schema)


def _require(extra: str, feature: str, packages: tuple[str, ...]) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(extra, f"{feature} ({package})")


def _revealed(key: Any) -> str | None:
    if key is None or isinstance(key, str):
        return key
    return str(key.get_secret_value())
