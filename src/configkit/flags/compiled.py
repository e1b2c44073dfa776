"""All flags of one environment, ready to be evaluated: immutable to readers, swapped whole, read without a lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from time import time
from typing import Any

from configkit import values
from configkit.flags.evaluator import compile_flag, failed
from configkit.flags.forms import Decide, Served, Tally
from configkit.flags.hashing import UndecidedError
from configkit.flags.model import Evaluation, Flag
from configkit.flags.operators import Context
from configkit.flags.references import is_circular, references
from configkit.flags.snapshot import FlagSet
from configkit.flags.switches import Switch

NOT_COMPILED: Any = object()
"""Stands in the table for a flag that nobody has asked for yet; to call it raises `TypeError`."""
MAX_UNKNOWN = 1000
"""So many names that are no flags are remembered."""

Tallies = dict[tuple[str, str | None], Tally]
"""How often each variant of each flag was served."""


class CompiledSet:
    """
    The flags of one environment at one moment.

    A flag is compiled when it is asked for the first time: a set of thousands of flags is ready at once.

    Attributes:
        version: The environment's counter at that moment.
        stale: The last known good: the store could not be read since. Decisions stay, their reason becomes STALE.
        flags: The flags by name.
        table: The flags as functions, by name; `NOT_COMPILED` for those that were not asked for yet, and None for names that
            are known to be none. Only this class changes it.
        switches: The same in short, for those that were asked for.
        tallies: How often each variant was served, by all sets of the environment together.
    """

    __slots__ = ("_clock", "_settled", "environment", "flags", "stale", "switches", "table", "tallies", "version")

    def __init__(
        self,
        loaded: FlagSet,
        *,
        previous: CompiledSet | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        self.environment = loaded.environment
        self.version = loaded.version
        self.flags = loaded.flags
        self.stale = False
        self.tallies: Tallies = {} if previous is None else previous.tallies
        self._clock = clock
        self._settled: dict[str, tuple[Flag, Decide, Switch]] = {}
        self.table: dict[str, Decide | None] = dict.fromkeys(loaded.flags.names, NOT_COMPILED)
        self.switches: dict[str, Switch | None] = {}
        if previous is not None:
            for name, (flag, decide, switch) in previous._settled.items():  # noqa: SLF001  this class's own
                found = loaded.flags.get(name)
                if found is flag or found == flag:
                    self.table[name], self.switches[name] = decide, switch
                    self._settled[name] = flag, decide, switch

    def evaluate(
        self,
        name: str,
        default: Any = None,
        user_id: object = None,
        context: Mapping[str, Any] | None = None,
        *,
        now: float | None = None,
    ) -> Evaluation:
        """
        Return the decision for the user: a pure function of its arguments and this set that never raises and does no I/O.

        An unknown flag answers *default* with reason ERROR and FLAG_NOT_FOUND.

        Args:
            now: The time that schedules go by, in seconds since 1970; None: the present.
        """
        decide = self.decide(name) if isinstance(name, str) else None
        if decide is None:
            return failed(name, self.environment, default, "FLAG_NOT_FOUND")
        try:
            return self.answer(decide(user_id, context, now), default)
        except UndecidedError as error:
            code = str(error)
        except Exception:  # noqa: BLE001  a context can be anything, and raise anything when it is looked at
            code = "INVALID_CONTEXT" if context is not None else "GENERAL"
        flag = self.flags.get(name)
        return failed(name, self.environment, default, code, None if flag is None else flag.version)

    def answer(self, served: Served, default: Any) -> Evaluation:
        """Return what is *served* to a caller with this *default*."""
        found = served.evaluation
        if found.variant is None:
            return replace(found, value=default)
        if default is not None and not _same_type(found.value, default):
            return failed(found.flag_name, found.environment, default, "TYPE_MISMATCH", found.version)
        if isinstance(found.value, dict | list):
            found = replace(found, value=values.copy(found.value))
        served.tally.count += 1
        return replace(found, reason="STALE") if self.stale else found

    def evaluate_all(
        self, user_id: object = None, context: Mapping[str, Any] | None = None, *, names: Iterable[str] | None = None
    ) -> dict[str, Evaluation]:
        """Return the decision of every flag, or of *names*, by name; where there is none the value is None."""
        wanted = [name for name, flag in self.flags.items() if flag.kind == "flag"] if names is None else names
        return {name: self.evaluate(name, None, user_id, context) for name in wanted}

    def decide(self, name: str) -> Decide | None:
        """Return the flag *name* as a function; None: there is none."""
        decide = self.table.get(name)
        return self._compile(name) if decide is NOT_COMPILED else decide

    def tally(self, flag: str, variant: str | None) -> Tally:
        """Return where servings of *variant* of *flag* are counted."""
        return self.tallies.setdefault((flag, variant), Tally())

    def note_unknown(self, name: str) -> None:
        """Remember that there is no flag *name*, so that asking for it again is as quick as for any other."""
        if len(self.table) < len(self.flags.names) + MAX_UNKNOWN:
            self.table.setdefault(name, None)
            self.switches.setdefault(name, None)

    def marked(self, *, stale: bool) -> CompiledSet:
        """Return this set, marked as stale or fresh."""
        if self.stale == stale:
            return self
        marked = object.__new__(CompiledSet)
        for name in CompiledSet.__slots__:
            setattr(marked, name, getattr(self, name))
        marked.stale = stale
        return marked

    def changes_from(self, previous: CompiledSet | None) -> frozenset[str]:
        """Return the names of the flags that are new, gone or different since *previous*."""
        return frozenset(self.flags.names) if previous is None else self.flags.differing(previous.flags)

    def _compile(self, name: str) -> Decide:
        flag = self.flags.get(name)
        refers = flag is not None and bool(references(flag))
        if flag is None or (refers and is_circular(name, self.flags.get)):
            self.table[name] = _undecidable
            return _undecidable
        decide, switch = compile_flag(flag, self, clock=self._clock)
        if not refers:
            self._settled[name] = flag, decide, switch
        self.table[name], self.switches[name] = decide, switch
        return decide

    def __repr__(self) -> str:
        return f"<CompiledSet {self.environment} v{self.version} {len(self.flags.names)} flags{' stale' if self.stale else ''}>"


def compile_set(loaded: FlagSet, previous: CompiledSet | None = None) -> CompiledSet:
    """Return *loaded* compiled; flags that are as they were in *previous* cost next to nothing."""
    return CompiledSet(loaded, previous=previous)


def _undecidable(key: Any, context: Context | None, now: float | None = None, /) -> Served:  # noqa: ARG001
    raise UndecidedError("PARSE_ERROR")


def _same_type(value: object, default: object) -> bool:
    if isinstance(value, bool) or isinstance(default, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(value, int | float):
        return isinstance(default, int | float)
    if isinstance(value, str):
        return isinstance(default, str)
    return isinstance(default, Mapping | list | tuple)
