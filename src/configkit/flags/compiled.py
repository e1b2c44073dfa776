"""All flags of one environment, ready to be evaluated: immutable, swapped whole, read without a lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from configkit.flags.evaluator import CompiledFlag, Entry, failed
from configkit.flags.model import Evaluation, Flag, FlagSet


class CompiledSet:
    """
    The flags of one environment at one moment.

    Attributes:
        version: The environment's counter at that moment.
        stale: The last known good: the store could not be read since. Decisions stay, their reason becomes STALE.
        flags: The flags by name, read-only.
        table: What `Flags.is_enabled` works on, by name; shared, so never to be changed.
    """

    __slots__ = ("_compiled", "environment", "flags", "stale", "table", "version")

    def __init__(self, environment: str, version: int, compiled: dict[str, CompiledFlag], *, stale: bool = False) -> None:
        self.environment = environment
        self.version = version
        self.stale = stale
        self._compiled = compiled
        self.flags: Mapping[str, Flag] = MappingProxyType({name: each.flag for name, each in compiled.items()})
        self.table: dict[str, Entry] = {name: each.entry for name, each in compiled.items()}

    def evaluate(
        self,
        name: str,
        default: Any = None,
        user_id: object = None,
        context: Mapping[str, Any] | None = None,  # noqa: ARG002  flags in the plain form look at the user alone
    ) -> Evaluation:
        """
        Return the decision for the user: a pure function of its arguments and this set that never raises and does no I/O.

        An unknown flag answers *default* with reason ERROR and FLAG_NOT_FOUND.
        """
        found = self._compiled.get(name) if isinstance(name, str) else None
        if found is None:
            return failed(name, self.environment, default, "FLAG_NOT_FOUND")
        answer = found.evaluate(default, user_id)
        if self.stale and answer.error_code is None:
            return replace(answer, reason="STALE")
        return answer

    def evaluate_all(
        self, user_id: object = None, context: Mapping[str, Any] | None = None, *, names: Iterable[str] | None = None
    ) -> dict[str, Evaluation]:
        """Return the decision of every flag, or of *names*, by name; where there is none the value is False."""
        return {name: self.evaluate(name, False, user_id, context) for name in (self._compiled if names is None else names)}  # noqa: FBT003

    def marked(self, *, stale: bool) -> CompiledSet:
        """Return this set, marked as stale or fresh."""
        return self if self.stale == stale else CompiledSet(self.environment, self.version, self._compiled, stale=stale)

    def changes_from(self, previous: CompiledSet | None) -> frozenset[str]:
        """Return the names of the flags that are new, gone or different since *previous*."""
        before: Mapping[str, Flag] = {} if previous is None else previous.flags
        return frozenset(name for name in before.keys() | self.flags.keys() if before.get(name) != self.flags.get(name))

    def __repr__(self) -> str:
        return f"<CompiledSet {self.environment} v{self.version} {len(self.flags)} flags{' stale' if self.stale else ''}>"


def compile_set(loaded: FlagSet, previous: CompiledSet | None = None) -> CompiledSet:
    """Return *loaded* compiled; flags that are as they were in *previous* cost next to nothing."""
    known = {} if previous is None else previous._compiled  # noqa: SLF001  this module's own
    compiled = {}
    for name, flag in loaded.flags.items():
        old = known.get(name)
        compiled[name] = old if old is not None and old.flag == flag else CompiledFlag(flag)
    return CompiledSet(loaded.environment, loaded.version, compiled)
