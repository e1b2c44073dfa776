"""SQLite's errors in configkit's words: one place, and never a statement or a value."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from configkit.errors import BackendError, InvalidDocumentError, UnavailableError

BACKEND = "sqlite"

_REMEDIES = {
    sqlite3.SQLITE_BUSY: "{path} is in use: another process has been writing for too long; try again",
    sqlite3.SQLITE_LOCKED: "{path} is in use: another process has been writing for too long; try again",
    sqlite3.SQLITE_FULL: "the disk is full; free space where {path} lies",
    sqlite3.SQLITE_READONLY: "{path} is read-only; make the file and its folder writable for this user",
    sqlite3.SQLITE_PERM: "no permission for {path}; make the file and its folder writable for this user",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened; it must exist, with its folder, and be writable for this user",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged; restore it from a backup",
    sqlite3.SQLITE_NOTADB: "{path} is no SQLite database, or damaged; restore it from a backup or choose another file",
    sqlite3.SQLITE_IOERR: "reading or writing {path} failed; check the disk and its free space",
    sqlite3.SQLITE_NOMEM: "there was not enough memory to use {path}",
    sqlite3.SQLITE_INTERRUPT: "the operation on {path} was interrupted; try again",
}


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether *error* only means that somebody else was writing."""
    return _primary_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def describe(error: sqlite3.Error, path: Path, operation: str) -> BackendError:
    """Return the configkit error for what SQLite said while it did *operation*."""
    remedy = _REMEDIES.get(_primary_code(error))
    if remedy is not None:
        return UnavailableError(remedy.format(path=path), backend=BACKEND, operation=operation)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return BackendError(f"{operation} failed with {name} on {path}", backend=BACKEND, operation=operation)


@contextmanager
def translated(path: Path, operation: str) -> Iterator[None]:
    """Raise configkit's errors in place of the driver's."""
    try:
        yield
    except PoolTimeoutError as error:
        message = "every connection is busy; try again"
        raise UnavailableError(message, backend=BACKEND, operation=operation) from error
    except DBAPIError as error:
        # The driver's own error is the cause: SQLAlchemy's carries the statement.
        cause = error.orig
        if isinstance(cause, sqlite3.Error):
            raise describe(cause, path, operation) from cause
        raise BackendError(f"{operation} failed", backend=BACKEND, operation=operation) from cause
    except SQLAlchemyError as error:
        raise BackendError(f"{operation} failed: {type(error).__name__}", backend=BACKEND, operation=operation) from error
    except sqlite3.Error as error:
        raise describe(error, path, operation) from error
    except UnicodeEncodeError:
        # Its text would show the value.
        raise InvalidDocumentError("text with a lone surrogate cannot be stored as UTF-8") from None
    except OverflowError:
        raise InvalidDocumentError("a number of more than 64 bits cannot be stored") from None


def _primary_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
