"""What is SQLite's own: the file, its connections and their pragmas."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import QueuePool

from configkit.backends.sql.errors import BACKEND
from configkit.errors import InvalidDocumentError, UnavailableError

POOL_SIZE = 16


def database_path(url_or_path: str) -> Path:
    """
    Return the file that an ``sqlite:`` URL or a path names.

    Raises:
        InvalidDocumentError: It is a URL of something else, or names no file.
    """
    text = str(url_or_path)
    scheme, colon, rest = text.partition(":")
    if colon and (rest.startswith("//") or scheme.startswith("sqlite")):
        if scheme not in ("sqlite", "sqlite+pysqlite") or not rest.startswith("///"):
            raise InvalidDocumentError("not an SQLite URL; write sqlite:////absolute/path.db", pointer="/database_url")
        text = rest[3:].partition("?")[0]
    if not text or text == ":memory:" or "\x00" in text:
        remedy = "names no file; write sqlite:////absolute/path.db, or use the mode memory"
        raise InvalidDocumentError(remedy, pointer="/database_url")
    path = Path(text).expanduser().resolve()
    if path.is_dir():
        raise InvalidDocumentError(f"{path} is a folder; name a file", pointer="/database_url")
    return path


def create_file(path: Path) -> None:
    """
    Make the file for its owner alone, and the folders above it, where they are not there.

    SQLite gives the files beside it (``-wal``, ``-shm``) the same mode.
    """
    try:
        _create_folders(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        message = f"{path} cannot be opened ({error.strerror}); make the file and its folder writable for this user"
        raise UnavailableError(message, backend=BACKEND, operation="open") from error


def _create_folders(folder: Path) -> None:
    if not folder.is_dir():
        _create_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def identity(path: Path) -> tuple[int, int] | None:
    """Return which file lies at *path*; None: none does."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def connect(path: Path, *, patience: float, writes: bool = True) -> sqlite3.Connection:
    """
    Return a connection to the file at *path*, which must exist, in autocommit mode.

    Args:
        patience: Seconds that SQLite itself waits for others.
    """
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, timeout=patience, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA foreign_keys=ON")
        if writes:
            # FULL: in WAL mode NORMAL loses the last commits with the power, and what was acknowledged must stay.
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=ON")
            connection.execute("PRAGMA journal_size_limit=67108864")
        else:
            connection.execute("PRAGMA query_only=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def make_engine(path: Path, *, size: int, deadline: float, patience: float, writes: bool) -> Engine:
    """Return an engine of at most *size* connections; transactions are begun by hand."""
    return create_engine(
        "sqlite://",
        creator=lambda: connect(path, patience=patience, writes=writes),
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=deadline,
        hide_parameters=True,
    )
