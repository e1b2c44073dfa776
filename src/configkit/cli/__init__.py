"""The command ``configkit``. What it needs beyond the base install is imported when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from configkit.errors import MissingExtraError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command and return its exit code; `configkit --help` lists the codes.

    Args:
        arguments: Those of this process unless given.
    """
    try:
        try:
            from configkit.cli.app import run  # noqa: PLC0415  the base install goes without typer and rich
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in {"typer", "rich"}:
                raise
            raise MissingExtraError("cli", "the command configkit") from None
        return run(sys.argv[1:] if arguments is None else list(arguments))
    except MissingExtraError as error:
        sys.stderr.write(f"configkit: {error}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
