"""``configkit move``: a deployment's data from the embedded file to the systems of the direct mode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from configkit.cli.commands import command
from configkit.cli.moving import Step, carried_out, documents, planned
from configkit.cli.opening import Session, origin
from configkit.cli.output import counted
from configkit.cli.progress import Progress
from configkit.errors import ConflictError, InvalidDocumentError
from configkit.models import ConfigPath
from configkit.ports import Backends
from configkit.wiring import open_backends, with_settings

MAX_NAMED = 20


def add_to(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "move", without=("url", "token", "mode", "environment", "service"))(move)


def move(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The embedded file, such as ~/.local/share/configkit/configkit.db.")],
    write: Annotated[bool, typer.Option("--write", help="Do it; without this it is only shown.")] = False,  # noqa: FBT002
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there and differs.")] = False,  # noqa: FBT002
    latest_only: Annotated[bool, typer.Option("--latest-only", help="Leave the history of keys behind.")] = False,  # noqa: FBT002
) -> None:
    """
    Move configuration, flags and tokens from an embedded FILE to Vault and PostgreSQL, as the variables lead to them.

    Keys keep their history (authors, comments and secret marks; the last 90 versions that still have a value), and tokens
    stay valid. Shows what would be done unless --write (and makes the tables in
    PostgreSQL, where there are none). Running it again moves what is missing, and what is the same stays.
    Where something else is there nothing at all is written unless --overwrite. The file is not changed: its journal stays
    in it. Deleted keys and registered instances are not moved; services register again by themselves.
    """
    with _both(session, file) as (source, target):
        steps = planned(source, target, history=not latest_only)
        different = [step for step in steps if step.what == "different"]
        if not session.out.machine:
            _show(session, steps)
        if different and not overwrite:
            _report(session, steps, written=False)
            names = ", ".join(f"{step.kind} {step.name}" for step in different[:MAX_NAMED])
            raise ConflictError(
                f"nothing was written: {counted(len(different), 'item')} there differ ({names}); --overwrite replaces them",
                expected=None,
                actual=None,
            )
        todo = [step for step in steps if step.what != "same"]
        if write:
            _record(source, steps)
            with Progress("moving", len(todo)) as progress:
                carried_out(todo, origin(), progress.step)
        _report(session, steps, written=write)


@contextmanager
def _both(session: Session, file: Path) -> Iterator[tuple[Backends, Backends]]:
    """Give the deployment in the file and the one that the settings lead to."""
    if not file.is_file():
        raise InvalidDocumentError(f"{file} is no file")
    from configkit.backends.sql import open_sqlite  # noqa: PLC0415  the extra is needed by this command alone

    settings = session.settings
    direct = with_settings(settings, {"mode": "direct"})
    source = open_sqlite(str(file.absolute()), master_key=settings.master_key, deadline=settings.deadline)
    try:
        _check_environments(source, settings.supported_environments)
        target = open_backends(direct, explicit=True, serves=True)
        try:
            yield source, target
        finally:
            target.close()
    finally:
        source.close()


def _check_environments(source: Backends, supported: frozenset[str]) -> None:
    kept = {document.path.environment for document in documents(source)}
    if foreign := kept - supported:
        raise InvalidDocumentError(
            f"the file has configuration of {', '.join(sorted(foreign))}, which is not supported here",
            pointer="/SUPPORTED_ENVIRONMENTS",
        )


def _record(source: Backends, steps: Sequence[Step]) -> None:
    """Write into the file's journal that everything was read."""
    paths = [ConfigPath(*step.name.split("/")) for step in steps if step.kind == "config" and step.what != "same"]
    if source.journal is not None and paths:
        source.journal.record_read(paths, origin=origin())


def _show(session: Session, steps: Sequence[Step]) -> None:
    rows = [(step.kind, step.name, step.what, step.versions if step.what != "same" else None) for step in steps]
    session.out.table(["kind", "name", "there", "versions"], rows, empty="there is nothing in the file")


def _report(session: Session, steps: Sequence[Step], *, written: bool) -> None:
    counts = Counter(step.what for step in steps)
    document = {
        "written": written,
        "counts": dict(counts),
        "items": [{"kind": s.kind, "name": s.name, "there": s.what, "versions": s.versions} for s in steps],
    }
    done = counts["new"] + counts["continued"] + counts["different"]
    if session.out.machine:
        session.out.data(document)
    elif written:
        session.out.note(f"{counted(done, 'item')} moved, {counts['same']} were there already")
    else:
        session.out.note(f"{counted(done, 'item')} to move, {counts['same']} there already; --write does it")
