"""``configkit flag export`` and ``import``: flags as a file, and flags of other systems."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from configkit.cli.commands import command
from configkit.cli.exits import INVALID
from configkit.cli.formats import parse_json
from configkit.cli.opening import Session
from configkit.cli.output import counted
from configkit.cli.progress import Progress
from configkit.cli.transfer import read_file, write_private
from configkit.client import ConfigKit
from configkit.errors import ConfigKitError, InvalidDocumentError
from configkit.flags.imports import flagd, launchdarkly, native, unleash
from configkit.flags.imports.findings import Imported, Note, Refusal
from configkit.flags.imports.plan import CHANGED, NEW, SAME, Plan, Step, planned
from configkit.flags.model import CHANGEABLE, Flag


class Source(StrEnum):
    """Whose flags a file holds."""

    CONFIGKIT = "configkit"
    FLAGD = "flagd"
    LAUNCHDARKLY = "launchdarkly"
    UNLEASH = "unleash"


def add_to(group: typer.Typer) -> None:
    """Add both commands to *group*."""
    command(group, "export", without=["service"])(export)
    command(group, "import", without=["service"])(import_)


def export(
    session: Session,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write FILE.", dir_okay=False)] = None,
) -> None:
    """Write the flags and segments of the environment as JSON to the standard output, or to a file."""
    with session.kit() as kit:
        flags = [flag for _, flag in sorted(kit.flag_sets.ensure(session.environment).flags.items())]
    text = json.dumps(native.document(session.environment, flags), ensure_ascii=False, indent=2)
    if output is None:
        session.out.line(text)
        return
    write_private(output, f"{text}\n")
    session.out.note(f"{counted(len(flags), 'flag')} written to {output}")


def import_(
    session: Session,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file, JSON or YAML; - is the standard input.")],
    source: Annotated[Source, typer.Option("--from", help="Whose flags it holds.")],
    source_environment: Annotated[
        str | None,
        typer.Option("--source-environment", metavar="NAME", help="Which environment of the file, if there are several."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,  # noqa: FBT002
    skip: Annotated[bool, typer.Option("--skip", help="Leave out flags that have no equal here.")] = False,  # noqa: FBT002
    reshuffle: Annotated[bool, typer.Option("--reshuffle", help="Keep shares, with other users in them.")] = False,  # noqa: FBT002
    replace: Annotated[bool, typer.Option("--replace", help="Change flags that are there and different.")] = False,  # noqa: FBT002
) -> None:
    """
    Write the flags of FILE, each of which then decides as it did; what has no equal here is listed.

    Nothing is written while something is refused: --skip leaves such flags out. What is there and the same stays.
    """
    imported = _imported(source, _parsed(file), session.environment, source_environment, reshuffle=reshuffle)
    with session.kit() as kit:
        plan = planned(imported, kit.flag_sets.ensure(session.environment).flags)
        obstacles = _obstacles(plan, skip=skip, replace=replace)
        if not session.out.machine:
            _show(session, plan, imported.notes)
        written: list[Step] = []
        if not dry_run and not obstacles:
            due = [step for step in plan.steps if step.kind != SAME]
            with Progress("importing", len(due)) as progress:
                written = _write(kit, due, progress.step)
    _report(session, plan, imported.notes, written, obstacles, dry_run=dry_run)
    if obstacles:
        raise typer.Exit(INVALID)


def _imported(source: Source, document: object, environment: str, chosen: str | None, *, reshuffle: bool) -> Imported:
    if source is Source.UNLEASH:
        return unleash.read(document, environment, reshuffle=reshuffle, source=chosen)
    if source is Source.LAUNCHDARKLY:
        return launchdarkly.read(document, environment, reshuffle=reshuffle, source=chosen)
    if chosen is not None:
        raise InvalidDocumentError("a file of this kind has one environment: leave --source-environment out")
    if source is Source.FLAGD:
        return flagd.read(document, environment, reshuffle=reshuffle)
    return native.read(document, environment)


def _parsed(file: str) -> object:
    text = read_file(file)
    if file.endswith((".yaml", ".yml")):
        from configkit.cli.yaml_text import parse_yaml  # noqa: PLC0415  most commands need no YAML

        return parse_yaml(text)[0]
    return parse_json(text, pointer="")


def _obstacles(plan: Plan, *, skip: bool, replace: bool) -> list[str]:
    found = []
    if plan.refusals and not skip:
        found.append(f"{counted(len(plan.refusals), 'flag')} cannot be imported as they are; --skip leaves them out")
    different = sum(step.kind == CHANGED for step in plan.steps)
    if different and not replace:
        found.append(f"{counted(different, 'flag')} are there and different; --replace changes them")
    return found


def _write(kit: ConfigKit, steps: Sequence[Step], tick: Callable[[], None]) -> list[Step]:
    done: list[Step] = []
    for step in steps:
        try:
            if step.present is None:
                kit.flags.create(step.flag.name, kind=step.flag.kind, **_fields(step.flag, CHANGEABLE))
            else:
                kit.flags.update(step.flag.name, expected_version=step.present.version, **_fields(step.flag, step.fields))
        except ConfigKitError as error:
            before = f"{len(done)} of {counted(len(steps), 'flag')} were written before; running it again writes the rest"
            error.args = (f"{step.flag.name}: {error}\n{before}",)
            raise
        done.append(step)
        tick()
    return done


def _fields(flag: Flag, names: Sequence[str]) -> dict[str, Any]:
    given = {name: getattr(flag, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _show(session: Session, plan: Plan, notes: Sequence[Note]) -> None:
    rows = [(step.kind, step.flag.name, ", ".join(step.fields) or step.flag.kind) for step in plan.steps]
    session.out.table(("change", "flag", "what"), rows, empty="the file has no flags that can be imported")
    if plan.refusals:
        session.out.table(("refused", "where", "why"), [(each.flag, each.pointer, each.reason) for each in plan.refusals])
    if notes:
        session.out.table(("note", "what to know"), [(each.flag, each.text) for each in notes])


def _report(
    session: Session, plan: Plan, notes: Sequence[Note], written: Sequence[Step], obstacles: Sequence[str], *, dry_run: bool
) -> None:
    counts = {kind: sum(step.kind == kind for step in plan.steps) for kind in (NEW, CHANGED, SAME)}
    if session.out.machine:
        session.out.data(
            {
                "dry_run": dry_run,
                **counts,
                "written": len(written),
                "items": [{"name": step.flag.name, "change": step.kind, "fields": list(step.fields)} for step in plan.steps],
                "refused": [_shown(each) for each in plan.refusals],
                "notes": [{"name": each.flag, "text": each.text} for each in notes],
                "obstacles": list(obstacles),
            }
        )
        return
    for obstacle in obstacles:
        session.out.line(f"nothing was written: {obstacle}")
    if not obstacles:
        verb = "to be written" if dry_run else "written"
        session.out.line(
            f"{verb}: {counts[NEW]} new, {counts[CHANGED]} changed; {counts[SAME]} the same, {len(plan.refusals)} left out"
        )


def _shown(refusal: Refusal) -> dict[str, str]:
    return {"name": refusal.flag, "pointer": refusal.pointer, "reason": refusal.reason}
