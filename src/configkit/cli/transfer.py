"""``configkit config export`` and ``import``: a service's configuration as a file, there and back."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from configkit.cli.commands import command
from configkit.cli.config import Reveal, is_secret
from configkit.cli.differences import NEW, SAME, Change, compared, written
from configkit.cli.formats import Document, Format, dump, format_of, load
from configkit.cli.opening import Session, record_reads
from configkit.cli.output import counted
from configkit.cli.progress import Progress
from configkit.client import ConfigKit
from configkit.errors import AccessDeniedError, InvalidDocumentError
from configkit.models import ConfigVersion
from configkit.names import check_key
from configkit.values import encode

ALL = "all"
MAX_FILE = 64 * 1024 * 1024
MAX_COMPLAINTS = 20

Form = Annotated[Format | None, typer.Option("--format", help="Otherwise what the file's name tells.")]


def add_to(app: typer.Typer) -> None:
    """Add both commands to the group *app*."""
    command(app, "export")(export)
    command(app, "import")(import_)


def export(
    session: Session,
    form: Form = None,
    reveal: Reveal = False,  # noqa: FBT002
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write FILE, readable by you alone.", dir_okay=False)
    ] = None,
) -> None:
    """
    Write the service's configuration to the standard output, or to a file, as JSON unless told otherwise.

    Secrets are left out unless --reveal; with it they are marked, so that import makes them secrets again.
    """
    chosen = form or (format_of(output.name) if output is not None and output.suffix else Format.JSON)
    with session.kit() as kit:
        found = list(kit.documents.read_service(session.environment, session.service_name).values())
        kept = found if reveal else [document for document in found if not is_secret(document)]
        if reveal:
            _may_export(kit, kept)
    text = dump(_as_file(kept), chosen)
    if output is None:
        session.out.line(text.removesuffix("\n"))
    else:
        write_private(output, text)
        session.out.note(f"{counted(len(kept), 'key')} written to {output}")
    if len(kept) < len(found):
        session.out.note(f"{counted(len(found) - len(kept), 'secret')} left out; --reveal includes them")
    others = sum(not isinstance(document.value, str) for document in kept)
    if chosen is Format.DOTENV and others:
        session.out.note(f"dotenv holds text only: what is something else was written as JSON text ({counted(others, 'value')})")


def import_(
    session: Session,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file; - is the standard input.")],
    form: Form = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,  # noqa: FBT002
    secret: Annotated[list[str] | None, typer.Option("--secret", metavar="KEY", help="Make KEY a secret; repeatable.")] = None,
    secrets: Annotated[str | None, typer.Option("--secrets", metavar="all", help="all: make every key a secret.")] = None,
    prefix: Annotated[str, typer.Option("--prefix", metavar="TEXT", help="Put TEXT before each key.")] = "",
    comment: Annotated[str | None, typer.Option("--comment", help="Why, for the history.")] = None,
) -> None:
    """
    Write every key of FILE, after all of them were found to be in order; keys that are not in it stay.

    What a file's own marks or --secret name becomes secret; a secret that is there stays one.
    """
    document = load(read_file(file), form or _format_of(file))
    checked = _checked(document, prefix, _marked(document, secret or [], secrets))
    with session.kit() as kit:
        present = kit.documents.read_service(session.environment, session.service_name)
        changes = [compared(session.path(key), value, secret=mark, present=present.get(key)) for key, value, mark in checked]
        if not session.out.machine:
            _show(session, changes)
        if not dry_run:
            due = [change for change in changes if change.kind != SAME]
            with Progress("importing", len(due)) as progress:
                written(kit, due, comment or f"import of {Path(file).name}", progress.step)
    _report(session, changes, dry_run=dry_run)


def write_private(path: Path, text: str) -> None:
    """Replace the file at *path*, whole or not at all, readable by its owner alone."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidDocumentError(f"{path} cannot be written: {error.strerror}") from None


def _may_export(kit: ConfigKit, documents: Sequence[ConfigVersion]) -> None:
    if withheld := [document for document in documents if document.masked]:
        raise AccessDeniedError(
            f"these credentials may not read {counted(len(withheld), 'secret')}; a token with the scope secrets:read may",
            backend=kit.backends.mode,
            operation="read",
        )
    record_reads(kit, [document.path for document in documents if is_secret(document)])


def _as_file(documents: Iterable[ConfigVersion]) -> Document:
    kept = list(documents)
    return Document({d.path.key: d.value for d in kept}, frozenset(d.path.key for d in kept if is_secret(d)))


def _format_of(file: str) -> Format:
    if file == "-":
        raise InvalidDocumentError("the standard input has no name that tells: --format json, yaml or dotenv")
    return format_of(file)


def read_file(file: str) -> str:
    """Return the text of *file*; - is the standard input. Raises `InvalidDocumentError`."""
    try:
        if file == "-":
            content = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with Path(file).open("rb") as stream:
                content = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise InvalidDocumentError(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE:
        raise InvalidDocumentError(f"{file} is larger than 64 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidDocumentError(f"{file} is not UTF-8 text: byte {error.start}") from None


def _marked(document: Document, named: Sequence[str], every: str | None) -> frozenset[str]:
    if every not in (None, ALL):
        raise InvalidDocumentError("--secrets takes the word all; --secret KEY names single ones")
    if missing := [key for key in named if key not in document.values]:
        raise InvalidDocumentError(f"--secret names keys that are not in the file: {', '.join(missing)}")
    return document.secrets | frozenset(document.values if every else named)


def _checked(document: Document, prefix: str, secrets: frozenset[str]) -> list[tuple[str, object, bool]]:
    """Return (key, value, secret) of every key of the file, or refuse them all, naming each that is wrong."""
    checked: list[tuple[str, object, bool]] = []
    complaints: list[str] = []
    for key, value in document.values.items():
        line = f"line {document.lines[key]}: " if key in document.lines else ""
        try:
            check_key(f"{prefix}{key}", pointer="")
            encode(value, pointer="")
        except InvalidDocumentError as error:
            complaints.append(f"{line}{prefix}{key}: {error.detail}")
        else:
            checked.append((f"{prefix}{key}", value, key in secrets))
    if complaints:
        more = [f"and {len(complaints) - MAX_COMPLAINTS} more"] if len(complaints) > MAX_COMPLAINTS else []
        raise InvalidDocumentError("\n".join(["nothing was imported", *complaints[:MAX_COMPLAINTS], *more]))
    return checked


def _show(session: Session, changes: Sequence[Change]) -> None:
    rows = [(change.kind, change.path.key, change.before, change.after) for change in changes]
    session.out.table(("change", "key", "now", "in the file"), rows, empty="the file has no keys")


def _report(session: Session, changes: Sequence[Change], *, dry_run: bool) -> None:
    new = sum(change.kind == NEW for change in changes)
    same = sum(change.kind == SAME for change in changes)
    counts = {"new": new, "changed": len(changes) - new - same, "same": same}
    if session.out.machine:
        items = [{"key": c.path.key, "change": c.kind, "version": c.version, "is_encrypted": c.secret} for c in changes]
        session.out.data({"dry_run": dry_run, **counts, "items": items})
        return
    verb = "to be written" if dry_run else "written"
    session.out.line(f"{verb}: {counted(new, 'new key')} and {counted(counts['changed'], 'changed key')}; {same} the same")
