"""How a value reaches the command: an argument, the standard input, or typed without being shown."""

from __future__ import annotations

import getpass
import sys

from configkit.cli.formats import parse_json
from configkit.errors import InvalidDocumentError
from configkit.values import MAX_BYTES, JsonValue

LONGEST = 6 * MAX_BYTES + 64
"""Bytes of JSON that a value within the limit can take: each of its own escaped as six."""


def given_value(argument: str | None, *, prompt: bool, as_json: bool) -> JsonValue:
    """
    Return the value that *argument* is or stands for.

    Raises:
        InvalidDocumentError: There is none, there are two, or it is not what it should be. The message has nothing of it.
    """
    if prompt and argument is not None:
        raise InvalidDocumentError("either --prompt or a VALUE, not both", pointer="/value")
    if prompt:
        text = _prompted()
    elif argument is None:
        raise InvalidDocumentError("give the VALUE, - to read it from the standard input, or --prompt", pointer="/value")
    else:
        text = standard_input() if argument == "-" else argument
    return parse_json(text) if as_json else text


def standard_input() -> str:
    """Return the text of the standard input, without the line end that closes it."""
    content = sys.stdin.buffer.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise InvalidDocumentError("larger than 512 KiB as JSON; store it elsewhere and configure its address", pointer="/value")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise InvalidDocumentError("the standard input is not UTF-8 text", pointer="/value") from None
    return text.removesuffix("\n").removesuffix("\r")


def _prompted() -> str:
    if not sys.stdin.isatty():
        raise InvalidDocumentError("--prompt needs a terminal; - reads the standard input", pointer="/value")
    return getpass.getpass("Value (not shown): ")
