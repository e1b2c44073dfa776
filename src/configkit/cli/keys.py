"""``configkit rotate-key``: a new master key for the secrets at rest."""

from __future__ import annotations

import os

import typer

from configkit.cli.commands import command
from configkit.cli.opening import Session
from configkit.errors import InvalidDocumentError
from configkit.wiring import database_file

NEW_KEY = "CONFIGKIT_NEW_MASTER_KEY"


def add_to(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "rotate-key", without=("url", "token", "environment", "service"))(rotate_key)


def rotate_key(session: Session) -> None:
    """
    Encrypt every secret of the embedded file under a new master key.

    The present key is CONFIGKIT_MASTER_KEY's, or the key file's where that is not set. The new one is
    CONFIGKIT_NEW_MASTER_KEY's; without it a new key file is made. Processes that use the key file go on by themselves.
    """
    settings = session.settings
    if (settings.mode or ("remote" if settings.url else "embedded")) != "embedded":
        raise InvalidDocumentError("only the embedded file has a master key; run it where the file is, with --mode embedded")
    from configkit.backends.sql import rotate_master_key  # noqa: PLC0415  the extra is needed by this command alone

    new = os.environ.get(NEW_KEY) or None
    count = rotate_master_key(database_file(settings, explicit=True), settings.master_key, new)
    keeper = "set CONFIGKIT_MASTER_KEY to the new key from now on" if new else "the new key is in the key file"
    session.out.done(f"{count} secrets are encrypted under a new master key: {keeper}", {"secrets": count, "key_file": new is None})
