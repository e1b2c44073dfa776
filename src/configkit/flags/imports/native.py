"""Flags of configkit itself, as ``configkit flag export`` writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from configkit.errors import InvalidDocumentError
from configkit.flags.documents import document_of
from configkit.flags.imports.findings import Findings, Imported, a_text, an_object
from configkit.flags.model import CHANGEABLE, FLAG, Flag


def document(environment: str, flags: Iterable[Flag]) -> dict[str, Any]:
    """Return *flags* of *environment* as a document, without what only their store knows of them."""
    shown = ({name: value for name, value in document_of(flag).items() if name in _FIELDS} for flag in flags)
    return {"environment": environment, "flags": list(shown)}


_FIELDS = ("name", "kind", *CHANGEABLE)


def read(document: object, environment: str) -> Imported:
    """
    Return the flags and segments of *document*, as flags of *environment*.

    Raises:
        InvalidDocumentError: It is no document of configkit at all.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("flags"), list):
        raise InvalidDocumentError("a document of configkit is an object with a list of flags", pointer="/flags")
    findings = Findings(reshuffle=False)
    for index, given in enumerate(document["flags"]):
        with findings.reading(given.get("name") if isinstance(given, Mapping) else f"number {index}"):
            fields = dict(an_object(given, ""))
            begun = Flag(a_text(fields.pop("name", None), "/name"), environment, kind=fields.pop("kind", FLAG))
            findings.add(begun.with_changes(fields))
    return findings.imported()
