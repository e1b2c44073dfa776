"""What importing would do to the flags that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from configkit.errors import InvalidDocumentError
from configkit.flags.documents import json_of
from configkit.flags.imports.findings import Imported, Refusal
from configkit.flags.model import CHANGEABLE, Flag
from configkit.flags.references import check_references, in_order

NEW, CHANGED, SAME = "new", "changed", "same"


@dataclass(frozen=True, slots=True)
class Step:
    """
    A flag that is to be written, or is there already.

    Attributes:
        kind: `NEW`, `CHANGED` or `SAME`.
        present: The flag as it is there; None: it is new.
        fields: The names of the fields that change.
    """

    kind: str
    flag: Flag
    present: Flag | None
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they can be made, and what was refused on the way."""

    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]


def planned(imported: Imported, present: Mapping[str, Flag]) -> Plan:
    """Return what writing *imported* beside the flags that are *present* takes."""
    accepted: dict[str, Flag] = {}
    refusals = list(imported.refusals)
    steps = []
    for flag in in_order(imported.flags):
        there = present.get(flag.name)
        try:
            check_references(flag, lambda name: accepted.get(name) or present.get(name))
            _check_kind(flag, there)
        except InvalidDocumentError as error:
            refusals.append(Refusal(flag.name, error.pointer or "", error.detail))
            continue
        accepted[flag.name] = flag
        steps.append(_step(flag, there))
    return Plan(tuple(steps), tuple(refusals))


def _check_kind(flag: Flag, there: Flag | None) -> None:
    if there is not None and there.kind != flag.kind:
        raise InvalidDocumentError(f"a {there.kind} of this name is there", pointer="/kind")


def _step(flag: Flag, there: Flag | None) -> Step:
    if there is None:
        return Step(NEW, flag, None, ())
    changed = tuple(name for name in CHANGEABLE if json_of(getattr(flag, name)) != json_of(getattr(there, name)))
    return Step(CHANGED if changed else SAME, flag, there, changed)
