"""The examples of a Markdown page, as they are run: fenced blocks of `python` and `bash`, in their order."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the line of the page it begins at."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Request:
    """What a `curl` command of the documentation sends."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None


def blocks(page: str) -> list[Block]:
    """Return the blocks of *page* that are run; those of other languages (`sh`, `json`, `text`) are only shown."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [Block(match[1], match[2], text.count("\n", 0, match.start(2)) + 1) for match in _FENCE.finditer(text)]
    return [block for block in found if block.language in ("python", "bash")]


def commands(block: Block) -> list[str]:
    """Return the commands of a `bash` block: one a line."""
    return [line for line in block.text.splitlines() if line and not line.startswith("#")]


def curl(command: str) -> Request:
    """Return what *command* sends. The machine that runs the tests may have no curl; an option not known here is an error."""
    parser = ArgumentParser(prog="curl", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("url")
    name, *arguments = shlex.split(command)
    assert name == "curl"
    given = parser.parse_args(arguments)
    headers = dict(header.split(": ", 1) for header in given.headers)
    return Request(given.method or ("GET" if given.body is None else "POST"), given.url, headers, given.body)
