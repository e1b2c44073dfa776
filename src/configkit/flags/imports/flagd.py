"""
Flags of flagd: a document as its schema describes it (https://flagd.dev/schema/v0/flags.json).

Who falls into which part of a ``fractional`` stays exactly the same: both hash alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from configkit.errors import InvalidDocumentError
from configkit.flags.imports.findings import (
    Condition,
    Findings,
    Imported,
    UnmappableError,
    a_list,
    a_text,
    an_object,
    negation,
)
from configkit.flags.imports.jsonlogic import Evaluators, attribute, condition, operation
from configkit.flags.model import Flag

Outcome = dict[str, Any]
"""What a rule answers: ``{"variant": ...}``, or ``{"split": [...]}``, perhaps with ``bucket_by``."""


def read(document: object, environment: str, *, reshuffle: bool = False) -> Imported:
    """
    Return the flags of *document*.

    Raises:
        InvalidDocumentError: It is no document of flagd at all.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("flags"), Mapping):
        raise InvalidDocumentError("a document of flagd is an object with an object of flags", pointer="/flags")
    findings = Findings(reshuffle=reshuffle)
    evaluators = document.get("$evaluators")
    for name, definition in document["flags"].items():
        with findings.reading(name):
            reader = _Reader(name, findings, evaluators if isinstance(evaluators, Mapping) else {})
            findings.add(reader.flag(definition, environment))
    return findings.imported()


class _Reader:
    def __init__(self, name: str, findings: Findings, evaluators: Evaluators) -> None:
        self._name = name
        self._findings = findings
        self._evaluators = evaluators
        self._variants: Mapping[str, Any] = {}
        self._default = ""

    def flag(self, definition: object, environment: str) -> Flag:
        given = an_object(definition, "")
        self._variants = an_object(given.get("variants"), "/variants")
        if given.get("defaultVariant") is None:
            raise UnmappableError(
                "/defaultVariant", "without one callers get their own defaults, which only a flag that is off does"
            )
        self._default = self._variant(given["defaultVariant"], "/defaultVariant")
        if given.get("state") not in ("ENABLED", "DISABLED"):
            raise UnmappableError("/state", "ENABLED or DISABLED is expected")
        if given.get("metadata"):
            self._findings.note(self._name, "its metadata is left out")
        rules: list[dict[str, Any]] = []
        rest: Outcome = {"variant": self._default}
        if given.get("targeting"):
            rest = self._chain(given["targeting"], "/targeting", [], rules)
        if "bucket_by" in rest:
            rules.append(self._rule([], rest, len(rules)))
            rest = {"variant": self._default}
        return Flag(
            self._name,
            environment,
            is_enabled=given["state"] == "ENABLED",
            variants=dict(self._variants),
            default_variant=rest.get("variant"),
            split=rest.get("split"),
            rules=tuple(rules),
        )

    def _chain(self, given: object, pointer: str, conditions: Sequence[Condition], rules: list[dict[str, Any]]) -> Outcome:
        """Add rules for what *given* answers under *conditions*, and return what it answers where none of them holds."""
        if not isinstance(given, Mapping):
            return self._outcome(given, pointer)
        name, arguments, at = operation(given, pointer, self._evaluators)
        if name == "fractional":
            return self._fractional(arguments, at)
        if name not in ("if", "?:"):
            return self._truth(given, pointer, conditions, rules)
        rest: Outcome = {"variant": self._default}
        for index in range(0, len(arguments), 2):
            if index + 1 == len(arguments):
                return self._chain(arguments[index], f"{at}/{index}", conditions, rules)
            holds = [*conditions, condition(arguments[index], f"{at}/{index}", self._evaluators)]
            answer = self._chain(arguments[index + 1], f"{at}/{index + 1}", holds, rules)
            rules.append(self._rule(holds, answer, len(rules)))
        return rest

    def _truth(self, given: object, pointer: str, conditions: Sequence[Condition], rules: list[dict[str, Any]]) -> Outcome:
        """A condition by itself answers the variant ``true`` or ``false``."""
        holds = condition(given, pointer, self._evaluators)
        rules.append(self._rule([*conditions, holds], self._outcome(True, pointer), len(rules)))  # noqa: FBT003
        rules.append(self._rule([*conditions, negation(holds)], self._outcome(False, pointer), len(rules)))  # noqa: FBT003
        return {"variant": self._default}

    def _rule(self, conditions: Sequence[Condition], answer: Outcome, number: int) -> dict[str, Any]:
        return {"name": f"rule-{number + 1}", "conditions": list(conditions), **answer}

    def _outcome(self, given: object, pointer: str) -> Outcome:
        return {"variant": self._default if given is None else self._variant(given, pointer)}

    def _variant(self, given: object, pointer: str) -> str:
        name = str(given).lower() if isinstance(given, bool) else a_text(given, pointer)
        if name not in self._variants:
            raise UnmappableError(pointer, "it is none of the variants")
        return name

    def _fractional(self, arguments: list[Any], at: str) -> Outcome:
        parts, by = arguments, None
        if parts and not isinstance(parts[0], list):
            by, parts = self._bucketing(parts[0], f"{at}/0"), parts[1:]
        split = []
        for index, part in enumerate(parts):
            pointer = f"{at}/{index + (len(arguments) - len(parts))}"
            items = a_list(part, pointer)
            if len(items) not in (1, 2) or (len(items) == 2 and type(items[1]) is not int):
                raise UnmappableError(pointer, "a variant, and perhaps a whole number as its weight, are expected")
            weight = max(0, items[1]) if len(items) == 2 else 1
            split.append({"variant": self._variant(items[0], f"{pointer}/0"), "weight": weight})
        if len({part["variant"] for part in split}) < len(split):
            raise UnmappableError(at, "a variant is in it more than once")
        return {"split": split, **({} if by is None else {"bucket_by": by})}

    def _bucketing(self, given: object, pointer: str) -> str:
        """Return the attribute that is hashed in the place of the targeting key; flagd hashes it without the flag's name."""
        self._findings.reshuffled(self._name, pointer)
        if isinstance(given, Mapping) and set(given) == {"cat"}:
            parts = a_list(given["cat"], f"{pointer}/cat")
            variables = [each for each in parts if each != {"var": "$flagd.flagKey"}]
            if len(variables) == 1:
                return attribute(variables[0], f"{pointer}/cat")
        return attribute(given, pointer)
