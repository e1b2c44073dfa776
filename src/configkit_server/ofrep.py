"""
What the OpenFeature Remote Evaluation Protocol says in answers and events.

Source: OFREP 0.3 (its OpenAPI document). These bodies are its own, not problem documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from configkit.flags.compiled import CompiledSet
from configkit.flags.forms import Decide, Served
from configkit.flags.hashing import UndecidedError
from configkit.flags.model import FLAG, Evaluation
from configkit_server.auth import Grant
from configkit_server.events import Frame, Reader

TARGETING_KEY = "targetingKey"
REFETCH = b'event: message\ndata: {"type":"refetchEvaluation"}\n\n'

_DETAILS = {
    "FLAG_NOT_FOUND": "there is no such flag",
    "TARGETING_KEY_MISSING": "it is on for a share of the users, so the context needs a targetingKey",
    "INVALID_CONTEXT": "the context has to be an object, with texts of 1-1024 characters where they are hashed",
    "PARSE_ERROR": "this release cannot read it, or what it depends on leads in a circle",
    "GENERAL": "looking at the context failed",
}


class OfrepAnswers:
    """Decisions as they go over the wire; what a flag can answer is encoded once."""

    def __init__(self) -> None:
        self._every: dict[str, tuple[CompiledSet, list[tuple[str, Decide]]]] = {}

    def of_flag(self, flags: CompiledSet, name: str, context: Mapping[str, Any]) -> tuple[int, bytes]:
        """Return the status and the body that tell what flag *name* of *flags* is in *context*; of a failure too."""
        decide = flags.decide(name)
        flag = flags.flags.get(name)
        if decide is None or (flag is not None and flag.kind != FLAG):
            return 404, failure("FLAG_NOT_FOUND", name)
        try:
            served = decide(context.get(TARGETING_KEY), context)
        except UndecidedError as error:
            return 400, failure(str(error), name)
        except Exception:  # noqa: BLE001  a context holds anything
            return 400, failure("INVALID_CONTEXT", name)
        served.tally.count += 1
        if flags.stale:
            return 200, _encoded(flags, served.evaluation, reason="STALE")
        return 200, served.shown or _kept(flags, served)

    def of_all(self, flags: CompiledSet, context: Mapping[str, Any]) -> bytes:
        """Return the body's list of what every flag of *flags* is in *context*; what fails does so for itself."""
        key = context.get(TARGETING_KEY)
        fresh, parts = not flags.stale, []
        for name, decide in self._flags_of(flags):
            try:
                served = decide(key, context)
                shown = served.shown
                if fresh and shown is not None:
                    served.tally.count += 1
                    parts.append(shown)
                    continue
            except Exception:  # noqa: BLE001, S110  seen to by who does this for one flag
                pass
            parts.append(self.of_flag(flags, name, context)[1])
        return b",".join(parts)

    def _flags_of(self, flags: CompiledSet) -> list[tuple[str, Decide]]:
        """Return the flags of a set as functions, which are looked up once for each set."""
        known = self._every.get(flags.environment)
        if known is None or known[0] is not flags:
            every = [(name, decide) for name, flag in flags.flags.items() if flag.kind == FLAG and (decide := flags.decide(name))]
            known = self._every[flags.environment] = flags, every
        return known[1]


class RefetchReader(Reader):
    """A reader that is told to ask again once this server decides by new flags of its environment."""

    def __init__(self, grant: Grant, environment: str) -> None:
        super().__init__(grant)
        self._environment = environment

    def of_event(self, frame: Frame) -> bytes | None:  # noqa: ARG002  the set comes a moment after its event
        """Return nothing: an answer before the set is there would be the old one."""
        return None

    def of_set(self, environment: str) -> bytes | None:
        """Return the word to ask again."""
        return REFETCH if environment == self._environment else None

    def of_gap(self, place: bytes, reason: str) -> bytes:  # noqa: ARG002
        """Return the word to ask again."""
        return REFETCH


def failure(code: str, name: str | None = None, details: str | None = None) -> bytes:
    """Return the body of a failure with OpenFeature's error *code*, of the flag *name* or of the whole request."""
    about = {} if name is None else {"key": name}
    return to_json({**about, "errorCode": code, "errorDetails": details or _DETAILS.get(code, "evaluating it failed")})


def _kept(flags: CompiledSet, served: Served) -> bytes:
    served.shown = _encoded(flags, served.evaluation, reason=served.evaluation.reason)
    return served.shown


def _encoded(flags: CompiledSet, found: Evaluation, *, reason: str) -> bytes:
    metadata: dict[str, Any] = {"environment": found.environment, "version": found.version}
    if found.rule is not None:
        metadata["rule"] = found.rule
    shown: dict[str, Any] = {"key": found.flag_name, "reason": reason, "variant": found.variant or "", "metadata": metadata}
    if found.variant is not None:  # without one the caller's own default is meant, and that is said by leaving the value out
        shown["value"] = _typed(found.value, flags.flags[found.flag_name].values)
    return to_json(shown)


def _typed(value: Any, variants: Mapping[str, Any]) -> Any:
    """Return a number as a float if any variant of its flag is one: in some languages a whole one would be of another type."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_number and any(isinstance(each, float) for each in variants.values()) else value
