"""Bringing tables up to date; and those of an SQLite file once, whoever comes first."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_bytes, token_hex

from sqlalchemy import Connection

from configkit.backends.sql import sqlite
from configkit.backends.sql.errors import BACKEND, translated
from configkit.errors import BackendError, UnavailableError

HEAD = "0003"
"""The newest migration; they are numbered, so that a greater one was made by a newer release."""

LOCK_PATIENCE = 30.0


def prepare(path: Path) -> None:
    """
    Make the file at *path* and its tables, or bring them up to date. A file that is up to date costs one SELECT.

    Raises:
        UnavailableError: It cannot be opened, or another process has been migrating it for too long.
        BackendError: A newer release has migrated it.
    """
    with translated(path, "open"):
        if _is_ready(path):
            return
        sqlite.create_file(path)
        with _lock(path):
            if not _is_ready(path):
                _use_write_ahead_log(path)
                _migrate(path)


def _is_ready(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return False
    connection = sqlite.connect(path, patience=LOCK_PATIENCE, writes=False)
    try:
        # A restored copy may have lost the mode, which is kept in the file.
        logged = connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        return _revision(connection, path) == HEAD and logged
    finally:
        connection.close()


def _revision(connection: sqlite3.Connection, path: Path) -> str | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_version'").fetchone():
        _refuse_foreign(connection, path)
        return None
    found = connection.execute("SELECT version_num FROM schema_version").fetchone()
    revision = found[0] if found else None
    if revision is not None and revision > HEAD:
        message = f"{path} was made by a newer release of configkit (schema {revision}, this one knows {HEAD}); upgrade configkit"
        raise BackendError(message, backend=BACKEND, operation="open")
    return revision


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'").fetchone():
        raise BackendError(f"{path} is another program's database; choose another file", backend=BACKEND, operation="open")


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, in the transaction of *connection*."""
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def _migrate(path: Path) -> None:
    engine = sqlite.make_engine(path, size=1, deadline=LOCK_PATIENCE, patience=LOCK_PATIENCE, writes=True)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            upgrade(connection)
            for name, value in (("log_id", token_hex(8)), ("salt", token_bytes(16).hex())):
                connection.exec_driver_sql("INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)", (name, value))
            connection.commit()
    finally:
        engine.dispose()


def _use_write_ahead_log(path: Path) -> None:
    connection = sqlite.connect(path, patience=LOCK_PATIENCE)
    try:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    finally:
        connection.close()
    if mode != "wal":
        message = f"{path} cannot use a write-ahead log; put it on a local disk, not on a network file system"
        raise UnavailableError(message, backend=BACKEND, operation="open")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"{path}.lock cannot be written ({error.strerror}); make the folder writable for this user"
        raise UnavailableError(message, backend=BACKEND, operation="open") from error
    try:
        end = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > end:
                    message = f"another process has been preparing {path} for {LOCK_PATIENCE:.0f} s"
                    raise UnavailableError(message, backend=BACKEND, operation="open") from error
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
