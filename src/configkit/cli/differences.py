"""What an import changes, and the writing of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from configkit.cli.config import is_secret, write
from configkit.cli.output import quoted
from configkit.client import ConfigKit
from configkit.errors import ConfigKitError
from configkit.models import ConfigPath, ConfigVersion
from configkit.values import JsonValue, encode

NEW, CHANGED, SAME = "new", "changed", "same"


@dataclass(slots=True)
class Change:
    """
    What becomes of one key.

    Attributes:
        before, after: What people are shown of it; a secret only as the mask.
        secret: It is a secret afterwards.
        version: The version that is there: before the writing the one that must not have changed, afterwards the new one.
    """

    path: ConfigPath
    kind: str
    value: JsonValue = field(repr=False)
    before: str | None = field(repr=False)
    after: str = field(repr=False)
    secret: bool
    version: int | None


def compared(path: ConfigPath, value: JsonValue, *, secret: bool, present: ConfigVersion | None) -> Change:
    """Return what writing *value* to *path* changes. A secret that may not be read counts as another value."""
    hidden = secret or (present is not None and is_secret(present))
    after = quoted(value, hidden=hidden)
    if present is None:
        return Change(path, NEW, value, None, after, secret, None)
    before = quoted(present.value, hidden=hidden)
    same = not present.masked and _same(present.value, value) and (present.is_encrypted or not secret)
    return Change(path, SAME if same else CHANGED, value, before, after, secret or present.is_encrypted, present.version)


def written(kit: ConfigKit, changes: Sequence[Change], comment: str, step: Callable[[], None]) -> None:
    """
    Write *changes*, each only if nobody changed its key since it was compared.

    Raises:
        ConflictError: Somebody did. It tells how many keys were written before.
        ConfigKitError: A backend failed; the same.
    """
    for count, change in enumerate(changes):
        try:
            document, _ = write(
                kit, change.path, change.value, secret=change.secret or None, expected_version=change.version or 0, comment=comment
            )
        except ConfigKitError as error:
            error.args = (f"{error}\n{count} of {len(changes)} keys were written before; running it again writes the rest",)
            raise
        change.version = document.version
        step()


def _same(present: JsonValue, value: JsonValue) -> bool:
    text = encode(present)
    return text in (encode(value), value)
