"""``configkit journal``: who did what, when, from where."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from configkit.cli.commands import command
from configkit.cli.opening import AT_HOME, Session
from configkit.cli.output import timestamp
from configkit.errors import InvalidDocumentError
from configkit.ports import JournalEntry


def add_to(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "journal", without=("url", "token", "environment", "service"))(journal)


def wire(entry: JournalEntry) -> dict[str, Any]:
    """Return *entry* for machines."""
    return {
        "at": timestamp(entry.at),
        "changed_by": entry.origin.changed_by,
        "source": entry.origin.source,
        "action": entry.action,
        "kind": entry.kind,
        "subject": entry.subject,
        "version": entry.version,
    }


def journal(
    session: Session,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many lines.")] = 50,
) -> None:
    """
    List who did what, when, and from where, newest first: every change, and every secret that was read in the clear.

    Never a value. It is read where the database is, not through a server.
    """
    with session.kit() as kit:
        if kit.backends.journal is None:
            raise InvalidDocumentError(f"the journal cannot be read in the {kit.backends.mode} mode; {AT_HOME}")
        entries = kit.calls.run(kit.backends.journal.entries, limit=limit)
    if session.out.machine:
        session.out.data({"items": [wire(entry) for entry in entries], "limit": limit})
        return
    rows = [(e.at, e.origin.changed_by, e.action, e.kind, e.subject, e.version, e.origin.source or None) for e in entries]
    session.out.table(("when", "who", "did", "kind", "what", "version", "from"), rows, empty="nothing was done yet")
