"""The command line: its groups of commands, and what becomes of errors."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import Annotated, Any

import typer

from configkit.cli import (
    config,
    demonstration,
    doctor,
    exits,
    flag_insight,
    flag_transfer,
    flags,
    journal,
    keys,
    migrate,
    move,
    serve,
    services,
    tokens,
    transfer,
)
from configkit.cli.commands import Group, options_first
from configkit.cli.opening import Where
from configkit.cli.output import printable
from configkit.errors import ConfigKitError, ConflictError, InvalidDocumentError

HELP = "Configuration, secrets, feature flags and services: in a file on this machine, at a server, or in Vault and PostgreSQL."

app = typer.Typer(
    name="configkit",
    cls=Group,
    epilog=exits.EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
transfer.add_to(config.app)
flag_insight.add_to(flags.app)
flag_transfer.add_to(flags.app)
for part in (config.app, flags.app, services.app, tokens.app):
    app.add_typer(part)
serve.add_to(app)
journal.add_to(app)
keys.add_to(app)
migrate.add_to(app)
move.add_to(app)
doctor.add_to(app)
demonstration.add_to(app)

_Misused: type[Any] = typer.BadParameter.__mro__[2]
"""The root of what the parser raises; typer names it differently from version to version."""


@dataclass
class Run:
    """What is known of this run of the command so far."""

    where: Where = field(default_factory=Where)


def _print_version(asked: bool) -> None:  # noqa: FBT001  typer calls it so
    if asked:
        typer.echo(f"configkit {metadata.version('configkit')}")
        raise typer.Exit


@options_first(app, HELP)
def _whole_command(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code. No error of configkit shows a traceback or a value."""
    told = Run()
    try:
        with _only_errors_logged():
            code = app(arguments, prog_name="configkit", standalone_mode=False, obj=told)
        sys.stdout.flush()
    except ConfigKitError as error:
        return _failed(error, machine=told.where.json)
    except _Misused as error:
        return _misused(error)
    except (typer.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more: the interpreter must not try to flush once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.FAILED
    return code if isinstance(code, int) else exits.OK


def _failed(error: ConfigKitError, *, machine: bool) -> int:
    code, kind = exits.classify(error)
    if not machine:
        sys.stderr.write("".join(f"configkit: {printable(line)}\n" for line in str(error).splitlines()))
        return code
    told: dict[str, Any] = {"error": kind, "detail": str(error)}
    if isinstance(error, ConflictError):
        told |= {"expected": error.expected, "actual": error.actual}
    if isinstance(error, InvalidDocumentError):
        told |= {"pointer": error.pointer}
    sys.stderr.write(json.dumps(told) + "\n")
    return code


def _misused(error: Any) -> int:
    """Say how the command is used. What was typed is repeated only where it cannot be a value."""
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{error.format_message()}\n")
        return exits.INVALID
    context = getattr(error, "ctx", None)
    text = error.format_message()
    if context is not None:
        sys.stderr.write(f"{context.get_usage()}\nTry '{context.command_path} --help'.\n")
        if context.command_path.endswith("config set") and type(error).__name__ in {"NoSuchOption", "UsageError"}:
            text = "an unknown option, or too many arguments: quote a value with blanks, and put -- before one that begins with -"
    sys.stderr.write(f"configkit: {printable(text)}\n")
    return exits.INVALID


@contextmanager
def _only_errors_logged() -> Iterator[None]:
    """What goes wrong is told by the commands themselves; the library's warnings would say it a second time."""
    logger = logging.getLogger("configkit")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
