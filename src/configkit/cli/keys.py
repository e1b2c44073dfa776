"""``configkit rotate-key``: a new master key for the secrets at rest."""

from __future__ import annotations

import os

import typer

from configkit.cli.commands import command
from configkit.cli.opening import Session
from configkit.cli.output import counted
from configkit.errors import InvalidDocumentError
from configkit.wiring import database_file

NEW_KEY = "CONFIGKIT_NEW_MASTER_KEY"
_RESTART = "restart every server and process that is running with a key from the environment"
_NEW = f"{_RESTART}, with CONFIGKIT_MASTER_KEY set to the new one"
_FILE = f"{_RESTART}, without CONFIGKIT_MASTER_KEY; those that use the key file go on by themselves"


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
    from configkit.backends.sql import key_file_of, rotate_master_key  # noqa: PLC0415  the extra is needed by this command alone

    new = os.environ.get(NEW_KEY) or None
    url = database_file(settings, explicit=True)
    file = key_file_of(url)
    had_file = file.exists()
    count = rotate_master_key(url, settings.master_key, new)
    keeper = "it is CONFIGKIT_MASTER_KEY from now on" if new else f"it is in the key file {file}"
    encrypted = f"{counted(count, 'secret')} {'is' if count == 1 else 'are'} encrypted under a new master key: {keeper}"
    session.out.done(encrypted, {"secrets": count, "key_file": new is None})
    if had_file and new:
        session.out.note(f"the key file {file} was removed: what used it needs CONFIGKIT_MASTER_KEY now")
    session.out.note(_NEW if new else _FILE)
