"""A closer look at PostgreSQL: its release and clock, and whether the tables may be changed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from configkit.backends.sql.postgres.opening import PostgresPieces
from configkit.ports import Examination

_QUESTION = """
    SELECT current_setting('server_version'), clock_timestamp(), pg_is_in_recovery(),
           current_setting('default_transaction_read_only') = 'on',
           has_table_privilege('journal', 'INSERT'),
           (SELECT version_num FROM schema_version)
"""


def examine(pieces: PostgresPieces) -> Examination:
    """
    Return what there is; nothing is made or changed.

    Raises:
        UnavailableError: It cannot be reached, or has no tables of configkit yet.
        AccessDeniedError: It refused the user.
        BackendError: The tables are of a release that this one cannot work with.
    """
    database = pieces.database
    database.prepare()
    with database.reading("examine") as connection:
        version, clock, standby, locked, may_write, revision = connection.execute(text(_QUESTION)).one()
    assert isinstance(clock, datetime)  # noqa: S101  the driver's part
    notes = []
    if standby or locked:
        notes.append("it is read only: every change will be refused; let DATABASE_URL lead to the primary")
    elif not may_write:
        notes.append(
            f"this user may not write the tables: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {database.schema}"
        )
    return Examination(str(version).split()[0], f"schema {database.schema}, migration {revision}", clock, tuple(notes))
