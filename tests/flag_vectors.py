"""The golden decisions of `vectors/engine.json`, for whoever answers them: the core, the library, REST, OFREP, OpenFeature."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from configkit.flags.documents import flag_of
from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagSet

FILE = Path(__file__).parent / "vectors" / "engine.json"


@dataclass(frozen=True)
class Decision:
    """One question and its answer."""

    number: int
    flag: str
    value: Any
    variant: str | None
    reason: str
    user_id: Any = None
    context: dict[str, Any] | None = None
    default: Any = None
    error_code: str | None = None
    rule: str | None = None
    now: float | None = None
    why: str = ""

    def __str__(self) -> str:
        return f"{self.number}-{self.flag}"

    @property
    def outcome(self) -> tuple[Any, str | None, str, str | None, str | None]:
        """What has to be answered."""
        return self.value, self.variant, self.reason, self.error_code, self.rule


@cache
def decisions() -> tuple[Decision, ...]:
    """Return every golden decision."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(Decision(number, **fields) for number, fields in enumerate(document["decisions"]))


@cache
def flag_set() -> FlagSet:
    """Return the flags that they are about."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    flags: dict[str, Flag] = {each["name"]: flag_of(each) for each in document["flags"]}
    return FlagSet(document["environment"], document["version"], flags)


def same(found: Any, wanted: Any) -> bool:
    """Return whether two JSON values are the same, where true is not 1 but 1.0 is."""
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)
