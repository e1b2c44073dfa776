"""Opening what lives in a PostgreSQL database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Literal

from configkit.backends.sql.bus import JournalBus
from configkit.backends.sql.changes import SqlChangeJournal
from configkit.backends.sql.flags import SqlFlagStore
from configkit.backends.sql.idempotency import SqlIdempotencyStore
from configkit.backends.sql.journal import SqlJournal
from configkit.backends.sql.postgres.connection import BoundedConnection, connect, quoted
from configkit.backends.sql.postgres.engine import PostgresDatabase
from configkit.backends.sql.postgres.errors import translated
from configkit.backends.sql.postgres.log import POLL_SECONDS, PostgresLog
from configkit.backends.sql.postgres.migrate import check, migrate
from configkit.backends.sql.postgres.target import parse
from configkit.backends.sql.registry import SqlRegistry
from configkit.backends.sql.tokens import SqlTokenStore
from configkit.errors import UnavailableError

log = logging.getLogger("configkit.postgres")

FIRST_ATTEMPT = 0.5
"""Seconds for which opening waits for the server: a start without it must not take longer than a second."""

Role = Literal["server", "library"]
CONNECTIONS: dict[Role, int] = {"server": 12, "library": 4}


@dataclass(frozen=True, slots=True)
class PostgresPieces:
    """
    The ports that one PostgreSQL database serves.

    Attributes:
        registry: Leases in the database, and the records of what registered over REST.
        bus: Tells what the journal says.
        ping: Returns if the database answers, or raises.
    """

    database: PostgresDatabase
    flags: SqlFlagStore
    registry: SqlRegistry
    records: SqlRegistry
    journal: SqlJournal
    changes: SqlChangeJournal
    tokens: SqlTokenStore
    idempotency: SqlIdempotencyStore
    bus: JournalBus
    ping: Callable[[], None]
    close: Callable[[], None]
    after_fork: Callable[[], None]


def open_database(url: str, *, deadline: float, migrating: bool, role: Role, schema: str, listens: bool) -> PostgresPieces:
    """Return everything that lives in the schema, and make its tables if *migrating*."""
    target = parse(url)
    database = PostgresDatabase(
        target,
        schema=schema,
        application=f"configkit {role}",
        prepare=partial(migrate, target, schema) if migrating else partial(check, target),
        size=CONNECTIONS[role],
        deadline=deadline,
    )
    try:
        database.prepare(within=min(deadline, FIRST_ATTEMPT))
    except UnavailableError as error:
        log.warning("%s; going on without it, and trying again with the next operation", error)
    except BaseException:
        database.close()
        raise
    return _assembled(database, listens=listens)


def migrate_database(url: str, *, deadline: float, schema: str) -> str:
    """Bring the tables of the schema up to date and return the number of their migration."""
    target = parse(url)

    def connecting(end: float, *, deadline: float = deadline) -> BoundedConnection:
        return connect(target, end, application="configkit migrate", schema=schema, deadline=deadline)

    with translated(target, "migrate"):
        return migrate(target, schema, connecting, time.monotonic() + deadline)


def drop_database(url: str, *, deadline: float, schema: str) -> None:
    """Remove the schema and what lies in it."""
    target, end = parse(url), time.monotonic() + deadline
    with (
        translated(target, "remove"),
        closing(connect(target, end, application="configkit removal", schema=schema, deadline=deadline)) as connection,
    ):
        connection.execute(f"SET client_min_messages = warning; DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")


def _assembled(database: PostgresDatabase, *, listens: bool) -> PostgresPieces:
    journal = SqlJournal(database)
    registry = SqlRegistry(database, journal)
    bus = JournalBus(PostgresLog(database, listens=listens), name="configkit-postgres-bus", every=POLL_SECONDS)
    database.attach(bus)

    def close() -> None:
        bus.close()
        database.close()

    return PostgresPieces(
        database=database,
        flags=SqlFlagStore(database),
        registry=registry,
        records=registry,
        journal=journal,
        changes=SqlChangeJournal(database),
        tokens=SqlTokenStore(database),
        idempotency=SqlIdempotencyStore(database),
        bus=bus,
        ping=database.ping,
        close=close,
        after_fork=database.after_fork,
    )
