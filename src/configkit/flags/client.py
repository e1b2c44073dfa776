"""Flags as an application sees them: those of its own environment, decided in its own process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from configkit.errors import ConfigKitError
from configkit.flags.compiled import CompiledSet
from configkit.flags.evaluator import failed
from configkit.flags.explain import Explanation, explain
from configkit.flags.forms import GUARDED, Decide
from configkit.flags.model import FLAG, Evaluation, Flag
from configkit.flags.sets import FlagSets
from configkit.flags.switches import Switch
from configkit.models import Origin

logger = logging.getLogger("configkit")

MAX_REPORTED = 1000
WAIT_PAUSE = 0.1

_ADVICE = {
    "FLAG_NOT_FOUND": "there is no such flag; the caller's default is answered",
    "TARGETING_KEY_MISSING": "it is on for a share of the users, so user_id is needed; the caller's default is answered",
    "INVALID_CONTEXT": "the user_id is no text of 1-1024 characters, or the context no mapping with what is hashed; "
    "the caller's default is answered",
    "TYPE_MISMATCH": "its values are of another type than the caller's default, which is answered",
    "PARSE_ERROR": "this release cannot read it, or what it depends on leads in a circle; the caller's default is answered",
    "GENERAL": "looking at what was given failed; the caller's default is answered",
    "DEFAULT": "is_enabled got a default that is neither True nor False, which counts as False; "
    "pass user_id and context by their names",
    "PROVIDER_NOT_READY": "no flags could be loaded yet; the caller's default is answered",
}


class Flags:
    """
    The flags of one environment.

    Reading never raises and never waits: it answers from the set that was loaded last.

    Args:
        origin: Who writes, for the journal.
        revive: Called once in a forked child, when a flag is read for the first time, to start the client's threads again.
    """

    __slots__ = ("_environment", "_forked", "_fresh", "_origin", "_reported", "_revive", "_sets", "_switches", "_table")

    def __init__(
        self, sets: FlagSets, environment: str, origin: Origin | None = None, *, revive: Callable[[], None] | None = None
    ) -> None:
        self._sets = sets
        self._environment = environment
        self._origin = origin or Origin()
        self._revive = revive
        self._forked = False
        self._reported: set[tuple[str, str | None]] = set()
        self._switches: dict[str, Switch | None] = {}
        self._table: dict[str, Decide | None] = {}
        self._fresh: dict[str, Decide | None] = {}
        sets.attach(environment, self._adopt)

    def is_enabled(
        self,
        name: str,
        default: bool = False,  # noqa: FBT001, FBT002  positional, as in every flag client
        *,
        user_id: str | int | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> bool:
        """
        Return whether the flag is on for the user.

        Args:
            default: The answer where there is no decision: the flag is unknown, nothing was loaded yet, or it is on for
                a share of the users and *user_id* is missing. A disabled flag is off, whatever the default. Anything but
                True and False (a context that was passed by place, say) is logged once and counts as False.
        """
        # What is rare raises here, and is seen to in `_evaluate`; what is left is one look-up and one call.
        try:
            switch = self._switches[name]
            if switch is None:
                return default is True
            return switch(user_id, context)
        except Exception:  # noqa: BLE001, S110
            pass
        if default is not True and default is not False:
            self._report_default(name)
            default = False
        value = self._evaluate(name, default, user_id, context).value
        return default if value is None else bool(value)

    def value(self, name: str, default: Any, *, user_id: str | int | None = None, context: Mapping[str, Any] | None = None) -> Any:
        """Return the flag's value for the user; *default* where there is no decision, or none of its type."""
        try:
            decide = self._table[name]
            if decide is None:
                return default
            served = decide(user_id, context)
            value = served.value
            if value.__class__ is default.__class__:
                served.tally.count += 1
                return value
        except Exception:  # noqa: BLE001, S110
            pass
        return self._evaluate(name, default, user_id, context).value

    def evaluate(
        self,
        name: str,
        default: Any = None,
        *,
        user_id: str | int | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Evaluation:
        """
        Return the decision with its reason, variant, rule and version, in OpenFeature's words.

        Where there is none its value is *default* and its reason ERROR. Serving the last known good while the store
        cannot be read has the reason STALE.
        """
        try:
            served = self._fresh[name](user_id, context)  # type: ignore[misc]
            value = served.value
            if (default is None and value is not GUARDED) or value.__class__ is default.__class__:
                served.tally.count += 1
                return served.evaluation
        except Exception:  # noqa: BLE001, S110
            pass
        return self._evaluate(name, default, user_id, context)

    def _evaluate(self, name: str, default: Any, user_id: object, context: Mapping[str, Any] | None) -> Evaluation:
        try:
            current = self._current()
            if current is None:
                self._sets.request(self._environment)
                answer = failed(name, self._environment, default, "PROVIDER_NOT_READY")
            else:
                answer = current.evaluate(name, default, user_id, context)
            if answer.error_code:
                self._report(answer, current)
        except Exception:
            logger.exception("evaluating a flag failed; the caller's default is answered")
            return failed(name, self._environment, default, "GENERAL")
        return answer

    def evaluate_all(self, *, user_id: str | int | None = None, context: Mapping[str, Any] | None = None) -> dict[str, Evaluation]:
        """Return the decision of every flag for the user, by name; nothing if no flags could be loaded yet."""
        current = self._current()
        return {} if current is None else current.evaluate_all(user_id, context)

    def explain(self, name: str, *, user_id: str | int | None = None, context: Mapping[str, Any] | None = None) -> Explanation:
        """
        Return the decision for the user, and the steps that led to it; it counts as no use of the flag.

        Raises:
            BackendError: No flags are known, and they could not be loaded.
        """
        return explain(self._current() or self._sets.ensure(self._environment), name, user_id, context)

    def usage(self) -> dict[str, dict[str, int]]:
        """Return how often each variant of each flag was served by this process, by flag and variant."""
        current = self._current()
        counts: dict[str, dict[str, int]] = {}
        for (flag, variant), tally in sorted(current.tallies.items(), key=str) if current is not None else ():
            if variant is not None and tally.count:
                counts.setdefault(flag, {})[variant] = tally.count
        return counts

    def unknown(self) -> list[str]:
        """Return the names that this process has asked for and that are no flags; the first thousand of them."""
        return sorted(name for name, code in self._reported if code == "FLAG_NOT_FOUND" and name not in self.all())

    @property
    def environment(self) -> str:
        """The environment that the flags are of."""
        return self._environment

    def all(self) -> Mapping[str, Flag]:
        """
        Return the flags by name, read-only.

        Raises:
            BackendError: None are known, and they could not be loaded.
        """
        return (self._current() or self._sets.ensure(self._environment)).flags

    def create(self, name: str, **fields: Any) -> Flag:
        """
        Add a flag, or a segment (``kind="segment"``), and return it.

        Args:
            fields: Those of `Flag`, such as ``is_enabled`` and ``rollout_percentage``.

        Raises:
            InvalidDocumentError: A name or value is not allowed.
            ConflictError: The flag is there.
        """
        begun = Flag(name, self._environment, kind=fields.pop("kind", None) or FLAG)
        return self._sets.create(begun.with_changes(fields), origin=self._origin)

    def update(self, name: str, *, expected_version: int | None = None, **changes: Any) -> Flag:
        """
        Change a flag and return it: fields that are not named stay, None resets one, a list replaces.

        Raises:
            NotFoundError: No such flag.
            ConflictError: Its version is not *expected_version*.
            InvalidDocumentError: A change is not allowed.
        """
        return self._sets.update(self._environment, name, changes, origin=self._origin, expected_version=expected_version)

    def delete(self, name: str, *, expected_version: int | None = None) -> None:
        """Remove a flag. Raises `NotFoundError` or `ConflictError`."""
        self._sets.delete(self._environment, name, origin=self._origin, expected_version=expected_version)

    def on_change(self, listener: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call *listener* with the names of the flags that changed, after each change; the answer ends it."""
        here = self._environment
        return self._sets.listen(lambda environment, names: listener(names) if environment == here else None)

    def on_health(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """
        Call *listener* with True when the flags could not be read again, and with False when they can be; the answer ends it.

        It is called with False for the first flags, too.
        """
        here = self._environment
        return self._sets.listen_to_health(lambda environment, stale: listener(stale) if environment == here else None)

    def wait(self, within: float) -> bool:
        """Wait for the first flags, *within* seconds at most; return whether they are there."""
        end = time.monotonic() + within
        while self._current() is None:
            try:
                self._sets.ensure(self._environment)
            except ConfigKitError:
                if time.monotonic() + WAIT_PAUSE >= end:
                    return False
                time.sleep(WAIT_PAUSE)
        return True

    def after_fork(self) -> None:
        """In a forked child: let the next read start the client again."""
        self._forked = True
        self._switches = {}
        self._table = self._fresh = {}

    def _adopt(self, compiled: CompiledSet) -> None:
        self._switches = compiled.switches
        self._table = compiled.table
        self._fresh = {} if compiled.stale else compiled.table

    def _current(self) -> CompiledSet | None:
        if self._forked:
            self._forked = False
            self._restart()
        return self._sets.peek(self._environment)

    def _restart(self) -> None:
        try:
            if self._revive is not None:
                self._revive()
        except Exception:
            logger.exception("the client could not start again in the forked child; the flags it knew go on being served")
        self._sets.announce(self._environment)

    def _report(self, answer: Evaluation, current: CompiledSet | None) -> None:
        code = answer.error_code
        if code == "FLAG_NOT_FOUND" and current is not None and answer.flag_name not in current.table:
            current.note_unknown(answer.flag_name)
        self._report_once("" if code == "PROVIDER_NOT_READY" else answer.flag_name, answer.flag_name, code or "")

    def _report_default(self, name: object) -> None:
        shown = str.__str__(name) if isinstance(name, str) else type(name).__name__
        self._report_once(shown, shown, "DEFAULT")

    def _report_once(self, occasion: str, name: str, code: str) -> None:
        if (occasion, code) in self._reported or len(self._reported) >= MAX_REPORTED:
            return
        self._reported.add((occasion, code))
        logger.warning("flag %.255r of %s: %s", name, self._environment, _ADVICE[code])
