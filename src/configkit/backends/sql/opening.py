"""Opening a deployment that lives in one SQLite file."""

from __future__ import annotations

from configkit.backends.sql.bus import JournalBus
from configkit.backends.sql.changes import SqlChangeJournal
from configkit.backends.sql.clock import Clock
from configkit.backends.sql.config import SqlConfigStore
from configkit.backends.sql.engine import SqliteDatabase
from configkit.backends.sql.flags import SqlFlagStore
from configkit.backends.sql.idempotency import SqlIdempotencyStore
from configkit.backends.sql.journal import SqlJournal
from configkit.backends.sql.keys import check_cipher, open_cipher, rotate
from configkit.backends.sql.migrate import prepare
from configkit.backends.sql.registry import SqlRegistry
from configkit.backends.sql.sqlite import database_path
from configkit.backends.sql.sqlite_log import POLL_SECONDS, SqliteLog
from configkit.backends.sql.tokens import SqlTokenStore
from configkit.ports import Backends


def open_file(url_or_path: str, *, master_key: str | None, deadline: float, clock: Clock | None) -> Backends:
    """Return everything that lives in the file, which is made if it is not there."""
    database = SqliteDatabase(database_path(url_or_path), prepare=prepare, deadline=deadline, clock=clock or Clock())
    try:
        return _assembled(database, master_key)
    except BaseException:
        database.close()
        raise


def rotate_file(url_or_path: str, old: str | None, new: str | None) -> int:
    """Encrypt every secret in the file anew and return how many there were."""
    database = SqliteDatabase(database_path(url_or_path), prepare=prepare, deadline=30.0, clock=Clock())
    try:
        open_cipher(database, old)
        return rotate(database, old, new)
    finally:
        database.close()


def _assembled(database: SqliteDatabase, master_key: str | None) -> Backends:
    cipher = open_cipher(database, master_key)
    journal = SqlJournal(database)
    registry = SqlRegistry(database, journal)
    bus = JournalBus(SqliteLog(database), name="configkit-sqlite-bus", every=POLL_SECONDS)
    database.attach(bus)

    def close() -> None:
        bus.close()
        database.close()

    return Backends(
        mode="embedded",
        config=SqlConfigStore(database, cipher),
        flags=SqlFlagStore(database),
        registry=registry,
        bus=bus,
        close=close,
        after_fork=database.after_fork,
        ping={"database": database.ping, "secrets": lambda: check_cipher(database, cipher)},
        records=registry,
        tokens=SqlTokenStore(database),
        idempotency=SqlIdempotencyStore(database),
        journal=journal,
        changes=SqlChangeJournal(database),
    )
