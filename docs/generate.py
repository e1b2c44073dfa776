"""Write the table of settings into `CONFIGURATION.md`: `python docs/generate.py`, or with `--check` only compare."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from configkit.settings import Settings

PAGE = Path(__file__).with_name("CONFIGURATION.md")
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def table() -> str:
    """Return the table: one row for each setting, in the order of the class."""
    rows = [row(field) for field in Settings.model_fields.values()]
    return "".join(["| variable | default | meaning |\n", "|---|---|---|\n", *rows])


def row(field: FieldInfo) -> str:
    """Return the row of one setting, under the shortest of its names."""
    assert isinstance(field.validation_alias, AliasChoices)  # noqa: S101
    name = str(field.validation_alias.choices[-1])
    return f"| `{name}` | {shown(field.default)} | {field.description} |\n"


def shown(default: object) -> str:
    """Return a default as one would write it into the environment."""
    if default is None or default == () or isinstance(default, SecretStr):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, frozenset | tuple):
        return f"`{','.join(sorted(default))}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def page(present: str) -> str:
    """Return the text of the page with the table in it as it should be."""
    before, rest = present.split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


def main() -> int:
    """Write the page, or with ``--check`` say by the exit code whether it is as it should be."""
    present = PAGE.read_text(encoding="utf-8")
    wanted = page(present)
    if "--check" in sys.argv[1:]:
        return 0 if present == wanted else 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
