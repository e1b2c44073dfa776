"""``configkit demo``: the main job, shown on this machine in a minute."""

from __future__ import annotations

import sys

import typer

from configkit.cli.commands import Command
from configkit.cli.output import console


def add_to(app: typer.Typer) -> None:
    """Add the command to *app*."""
    app.command("demo", cls=Command)(demo)


def demo() -> None:
    """Show configuration, a secret, a flag, discovery and a crash, with real processes; leaves nothing behind."""
    from configkit.cli.demo import run  # noqa: PLC0415  it needs the server, which no other command does

    raise typer.Exit(run(console(sys.stdout)))
