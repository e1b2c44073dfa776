"""Bringing the tables of a PostgreSQL schema up to date, once, whoever comes first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from configkit.backends.sql.migrate import HEAD, upgrade
from configkit.backends.sql.postgres.connection import BoundedConnection, quoted
from configkit.backends.sql.postgres.errors import BACKEND, NoTablesError
from configkit.backends.sql.postgres.target import Target
from configkit.errors import AccessDeniedError, BackendError, UnavailableError

LOCK_PATIENCE = 30.0
"""Seconds for which a server waits until another one has migrated."""
STATEMENT_SECONDS = 600.0

OLDEST, NEWEST = max(int(HEAD) - 1, 2), int(HEAD) + 1
"""The migrations that this release works with, so that servers can be upgraded one by one; PostgreSQL's first is the second."""

Connect = Callable[..., BoundedConnection]


def check(target: Target, connect: Connect, end: float) -> str:
    """
    Return the number of the tables' migration: this release's, the one before it or the one after it.

    Raises:
        UnavailableError: There are none (yet).
        BackendError: They are older or newer than that.
    """
    with _closed(connect(end)) as connection:
        return _check(_revision(connection), target)


def migrate(target: Target, schema: str, connect: Connect, end: float) -> str:
    """
    Make the schema and its tables, or bring them up to date, and return the number of their migration.

    Tables that are up to date, or newer, cost one query.

    Raises:
        UnavailableError: The server cannot be reached, or another process has been migrating for too long.
        AccessDeniedError: The user may not make the schema or its tables.
        BackendError: A newer release has gone more than one migration further.
    """
    with _closed(connect(end, deadline=STATEMENT_SECONDS)) as connection:
        connection.end = time.monotonic() + STATEMENT_SECONDS
        if (_revision(connection) or "") < HEAD:
            _migrate(connection, target, schema)
        return _check(_revision(connection), target)


def _migrate(connection: BoundedConnection, target: Target, schema: str) -> None:
    """Migrate in one transaction, which holds the lock until its end."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool, use_native_hstore=False)
    try:
        connection.execute("SELECT set_config('lock_timeout', %s, false)", [str(int(LOCK_PATIENCE * 1000))])
        with engine.connect() as open_connection:
            _begin(connection, target, schema)
            if (_revision(connection) or "") < HEAD:
                upgrade(open_connection)
                add = "INSERT INTO meta (name, value) VALUES ('log_id', %s) ON CONFLICT DO NOTHING"
                connection.execute(add, [token_hex(8)])
            connection.execute("COMMIT")
    except psycopg.errors.InsufficientPrivilege as error:
        message = (
            f"this user may not make the tables in {target.label}; run configkit migrate as one that may, "
            f"or: CREATE SCHEMA {schema} AUTHORIZATION <user>"
        )
        raise AccessDeniedError(message, backend=BACKEND, operation="migrate") from error


def _begin(connection: BoundedConnection, target: Target, schema: str) -> None:
    connection.execute("BEGIN READ WRITE")
    try:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"configkit migrations of {schema}"])
    except psycopg.errors.LockNotAvailable as error:
        message = f"another process has been migrating {target.label} for {LOCK_PATIENCE:.0f} s"
        raise UnavailableError(message, backend=BACKEND, operation="migrate") from error
    # A user that may not make schemas can still use one that was made for it.
    if connection.execute("SELECT to_regnamespace(%s)", [quoted(schema)]).fetchone() == (None,):
        connection.execute(f"CREATE SCHEMA {quoted(schema)}")


def _revision(connection: BoundedConnection) -> str | None:
    if connection.execute("SELECT to_regclass('schema_version')").fetchone() == (None,):
        return None
    found = connection.execute("SELECT version_num FROM schema_version").fetchone()
    return str(found[0]) if found else None


def _check(revision: str | None, target: Target) -> str:
    if revision is None:
        message = f"{target.label} has no tables of configkit yet; start configkit serve, or run configkit migrate"
        raise NoTablesError(message, backend=BACKEND, operation="open")
    if not OLDEST <= int(revision) <= NEWEST:
        remedy = "upgrade configkit" if int(revision) > NEWEST else "run configkit migrate"
        message = f"{target.label} has tables of another release (schema {revision}, this one knows {HEAD}); {remedy}"
        raise BackendError(message, backend=BACKEND, operation="open")
    return revision


@contextmanager
def _closed(connection: BoundedConnection) -> Iterator[BoundedConnection]:
    try:
        yield connection
    finally:
        connection.close()
