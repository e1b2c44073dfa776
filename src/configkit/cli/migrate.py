"""``configkit migrate``: the tables of the direct mode's database, made or brought up to date."""

from __future__ import annotations

import typer

from configkit.cli.commands import command
from configkit.cli.opening import Session
from configkit.errors import InvalidDocumentError


def add_to(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "migrate", without=("url", "token", "mode", "environment", "service"))(migrate)


def migrate(session: Session) -> None:
    """
    Make the tables in the PostgreSQL database of DATABASE_URL, or bring them up to date.

    They lie in a schema of their own (`configkit`, or what CONFIGKIT_DATABASE_SCHEMA says). Servers of the release before
    go on working. A server does the same when it starts, so this is for a user with more rights than the server's, or for
    a step of its own in a deployment.
    """
    url = session.settings.database_url
    if url is None or url.get_secret_value().startswith("sqlite:"):
        raise InvalidDocumentError(
            "set it to the PostgreSQL database; the embedded mode's file is brought up to date whenever it is opened",
            pointer="/DATABASE_URL",
        )
    from configkit.backends.sql import migrate_postgres  # noqa: PLC0415  the extra is needed by this command alone

    number = migrate_postgres(url, deadline=session.settings.deadline, schema=session.settings.database_schema)
    session.out.done(f"the tables are up to date (schema {number})", {"schema": number})
