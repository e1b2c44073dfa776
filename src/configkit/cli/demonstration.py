"""``configkit demo``: the main job, shown on this machine in a minute."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from configkit.cli.commands import Command
from configkit.cli.output import console


def add_to(app: typer.Typer) -> None:
    """Add the command to *app*."""
    app.command("demo", cls=Command)(demo)


Direct = Annotated[
    bool, typer.Option("--direct", help="On Vault, PostgreSQL, Redis, Kafka and ZooKeeper, where the variables lead to them.")
]


def demo(*, direct: Direct = False) -> None:
    """Show configuration, a secret, a flag, discovery and a crash, with real processes; leaves nothing behind."""
    from configkit.cli.demo import run  # noqa: PLC0415  it needs the server, which no other command does
    from configkit.cli.worlds import DirectWorld, FileWorld  # noqa: PLC0415  as above

    raise typer.Exit(run(console(sys.stdout), DirectWorld() if direct else FileWorld()))
