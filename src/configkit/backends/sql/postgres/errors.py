"""PostgreSQL's errors in configkit's words: one place, and never a statement, a value or a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from configkit.backends.sql.postgres.connection import NoAnswerError
from configkit.backends.sql.postgres.target import Target
from configkit.errors import AccessDeniedError, BackendError, InvalidDocumentError, UnavailableError

BACKEND = "postgres"


class NoTablesError(UnavailableError):
    """There are no tables of configkit yet; the message says what makes them."""


READ_ONLY = "25006"
NO_TABLES = ("42P01", "42703", "3F000")

_REMEDIES = {
    READ_ONLY: "{label} is read-only (a standby, or in recovery); point DATABASE_URL to the primary server",
    "57P01": "{label} was shut down; try again",
    "57P02": "{label} crashed; try again",
    "57P03": "{label} is starting up or shutting down; try again",
    "57P05": "{label} closed an idle connection; try again",
    "57014": "{label} did not finish in time; try again",
    "55P03": "{label} is in use: others have been writing for too long; try again",
    "25P03": "{label} ended a transaction that paused for too long; try again",
    "40001": "{label} could not put concurrent changes in an order; try again",
    "40P01": "{label} found changes waiting for each other; try again",
    "53300": "{label} has too many connections; raise max_connections, or run fewer processes",
    "53100": "the disk of {label} is full; free space there",
    "53200": "{label} is out of memory",
    "3D000": "{label} does not exist; create the database",
    **dict.fromkeys(NO_TABLES, "{label} lacks tables of configkit; run configkit migrate, or start configkit serve"),
}
_CLASSES = {
    "08": "the connection to {label} was lost; try again",
    "53": "{label} lacks resources; try again later",
    "57": "{label} is not available; try again",
    "58": "{label} has a fault in its system; see its log",
    "XX": "{label} has a fault, or is damaged; see its log",
}
_DENIED_CODES = ("28000", "28P01", "42501")
_DENIED = "{label} refused this user or password; check DATABASE_URL and what the user may do"
# A connection that was refused comes without a code.
_DENIED_TEXTS = ("password authentication failed", "no password supplied", "no pg_hba.conf entry", "is not permitted to log in")
_ABSENT_USER = ("role ", "does not exist")
_STARTING = "the database system is"


@contextmanager
def translated(target: Target, operation: str) -> Iterator[None]:
    """Raise configkit's errors in place of the driver's."""
    try:
        yield
    except PoolTimeoutError as error:
        raise UnavailableError("every connection is busy; try again", backend=BACKEND, operation=operation) from error
    except DBAPIError as error:
        # The driver's own error is the cause: SQLAlchemy's carries the statement.
        cause = error.orig
        if isinstance(cause, psycopg.Error):
            raise describe(cause, target, operation) from cause
        raise BackendError(f"{operation} failed", backend=BACKEND, operation=operation) from cause
    except SQLAlchemyError as error:
        raise BackendError(f"{operation} failed: {type(error).__name__}", backend=BACKEND, operation=operation) from error
    except psycopg.Error as error:
        raise describe(error, target, operation) from error
    except UnicodeEncodeError:
        # Its text would show the value.
        raise InvalidDocumentError("text with a lone surrogate cannot be stored as UTF-8") from None


def describe(error: psycopg.Error, target: Target, operation: str) -> BackendError | InvalidDocumentError:
    """Return the configkit error for what PostgreSQL, or the way to it, said while it did *operation*."""
    code = error.sqlstate or ""
    if code in _DENIED_CODES or (not code and _is_refusal(error)):
        return AccessDeniedError(_DENIED.format(label=target.label), backend=BACKEND, operation=operation)
    remedy = _REMEDIES.get(code) or _CLASSES.get(code[:2])
    if remedy is None and isinstance(error, psycopg.OperationalError):
        remedy = _unreachable(error)
    if remedy is not None:
        return UnavailableError(remedy.format(label=target.label), backend=BACKEND, operation=operation)
    if isinstance(error, psycopg.DataError):
        return InvalidDocumentError("a text or number that PostgreSQL cannot store")
    name = type(error).__name__
    return BackendError(f"{operation} failed with {name} on {target.label}", backend=BACKEND, operation=operation)


def _is_refusal(error: psycopg.Error) -> bool:
    text = str(error)
    return any(each in text for each in _DENIED_TEXTS) or ("FATAL" in text and all(each in text for each in _ABSENT_USER))


def _unreachable(error: psycopg.Error) -> str:
    if isinstance(error, NoAnswerError):
        return "{label} did not answer in time; try again"
    text = str(error)
    if 'database "' in text and "does not exist" in text:
        return _REMEDIES["3D000"]
    if _STARTING in text:
        return _REMEDIES["57P03"]
    return "{label} cannot be reached; check that it runs and that DATABASE_URL names its address"
