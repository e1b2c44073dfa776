"""
Flags of LaunchDarkly: what its REST API lists (``{"items": [...]}``), or what its SDKs read (``{"flags": {...}}``).

Source: LaunchDarkly's API documentation ("Feature flags", "Segments") and the format of its SDKs' file data source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from configkit.errors import InvalidDocumentError
from configkit.flags.imports.findings import (
    Condition,
    Findings,
    Imported,
    UnmappableError,
    a_list,
    a_number,
    a_text,
    an_object,
    environment_of,
    negation,
    texts,
    where,
)
from configkit.flags.model import SEGMENT, Flag
from configkit.flags.targeting import TARGETING_KEY

_OPERATORS = {
    "in": "in",
    "startsWith": "starts_with",
    "endsWith": "ends_with",
    "contains": "contains",
    "matches": "matches",
    "lessThan": "less_than",
    "lessThanOrEqual": "less_or_equal",
    "greaterThan": "greater_than",
    "greaterThanOrEqual": "greater_or_equal",
    "semVerEqual": "semver_equals",
    "semVerLessThan": "semver_less_than",
    "semVerGreaterThan": "semver_greater_than",
}
_TOTAL = 100_000
"""What the weights of a rollout add up to; the weight of a segment's rule is of as many."""


def read(document: object, environment: str, *, reshuffle: bool = False, source: str | None = None) -> Imported:
    """
    Return the flags and segments of *document*.

    Args:
        source: The environment of LaunchDarkly that is read; None: there is only one.

    Raises:
        InvalidDocumentError: It is no document of LaunchDarkly at all, or not clear which environment is meant.
    """
    if not isinstance(document, Mapping):
        raise InvalidDocumentError("an object is expected", pointer="")
    findings = Findings(reshuffle=reshuffle)
    for name, given in _segments(document):
        with findings.reading(name):
            findings.add(_segment(a_text(name, "/key"), an_object(given, ""), environment, findings))
    definitions = _flags(document, source)
    variations = {
        name: _named(given.get("variations")) for name, given in definitions if isinstance(given, Mapping) and isinstance(name, str)
    }
    for name, given in definitions:
        with findings.reading(name):
            findings.add(_Reader(a_text(name, "/key"), an_object(given, ""), findings, variations).flag(environment))
    values = document.get("flagValues")
    for name, value in values.items() if isinstance(values, Mapping) else ():
        with findings.reading(name):
            findings.add(_constant(name, value, environment))
    return findings.imported()


def _flags(document: Mapping[str, Any], source: str | None) -> list[tuple[object, object]]:
    if isinstance(document.get("items"), list):
        chosen = environment_of((name for item in document["items"] for name in _environments(item)), source, "/items")
        return [_of_item(item, chosen) for item in document["items"]]
    if isinstance(document.get("flags"), Mapping):
        return list(document["flags"].items())
    if isinstance(document.get("flagValues"), Mapping):
        return []
    raise InvalidDocumentError("a document of LaunchDarkly has a list of items, or an object of flags", pointer="/items")


def _segments(document: Mapping[str, Any]) -> list[tuple[object, object]]:
    found = document.get("segments")
    if isinstance(found, list):
        return [(each.get("key") if isinstance(each, Mapping) else None, each) for each in found]
    return list(found.items()) if isinstance(found, Mapping) else []


def _environments(item: object) -> Mapping[Any, Any]:
    found = item.get("environments") if isinstance(item, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _of_item(item: object, source: str | None) -> tuple[object, object]:
    """Return key and definition of a flag as the REST API lists it: what is of one environment beside the rest."""
    if not isinstance(item, Mapping):
        return None, item
    here = _environments(item).get(source)
    if not isinstance(here, Mapping):
        return item.get("key"), None
    listed = item.get("variations")
    variations = [each.get("value") if isinstance(each, Mapping) else None for each in listed] if isinstance(listed, list) else None
    return item.get("key"), {
        **here,
        **{name: item.get(name) for name in ("archived", "tags", "description")},
        "variations": variations,
    }


def _constant(name: str, value: object, environment: str) -> Flag:
    if type(value) is bool:
        return Flag(name, environment, is_enabled=True, rollout_percentage=100 if value else 0)
    return Flag(name, environment, is_enabled=True, variants={"v0": value}, default_variant="v0")


def _segment(name: str, given: Mapping[str, Any], environment: str, findings: Findings) -> Flag:
    if given.get("unbounded"):
        raise UnmappableError("/unbounded", "the users of a big segment are not in the document")
    for field in ("includedContexts", "excludedContexts"):
        if given.get(field):
            raise UnmappableError(f"/{field}", "only contexts of the kind user are known here")
    included = list(dict.fromkeys(texts(given.get("included"), "/included")))
    excluded = [user for user in dict.fromkeys(texts(given.get("excluded"), "/excluded")) if user not in set(included)]
    rules = []
    for index, each in enumerate(a_list(given.get("rules"), "/rules")):
        at = f"/rules/{index}"
        rule = an_object(each, at)
        mapped: dict[str, Any] = {
            "name": f"rule-{index + 1}",
            "conditions": _clauses(rule.get("clauses"), f"{at}/clauses"),
            "variant": "on",
        }
        if rule.get("weight") is not None:
            findings.reshuffled(name, f"{at}/weight")
            mapped["percentage"] = a_number(rule["weight"], f"{at}/weight") * 100 / _TOTAL
            mapped |= _bucketing(rule, at)
        rules += _with_and_without(mapped) if rule.get("weight") else [mapped]
    targets = {"off": tuple(excluded)} if excluded else {}
    return Flag(name, environment, kind=SEGMENT, target_users=tuple(included), targets=targets, rules=tuple(rules))


class _Reader:
    def __init__(self, name: str, given: Mapping[str, Any], findings: Findings, named: Mapping[str, list[str]]) -> None:
        self._name = name
        self._given = given
        self._findings = findings
        self._named = named
        self._values = a_list(given.get("variations"), "/variations")
        self._names = _named(self._values)

    def flag(self, environment: str) -> Flag:
        given = self._given
        if given.get("archived"):
            raise UnmappableError("/archived", "it was archived, so nothing should read it")
        if not isinstance(given.get("on"), bool):
            raise UnmappableError("/on", "true or false is expected; perhaps the flag is not in this environment")
        rest = self._outcome(an_object(given.get("fallthrough"), "/fallthrough"), "/fallthrough")
        rules = []
        for number, each in enumerate(a_list(given.get("rules"), "/rules")):
            rules += self._rules(an_object(each, f"/rules/{number}"), number)
        if "bucket_by" in rest:
            hashed, without = _with_and_without({"name": "fallthrough", "conditions": [], **rest})
            rules.append(hashed)
            rest = {"variant": without["variant"]}
        off = given.get("offVariation")
        return Flag(
            self._name,
            environment,
            description=given.get("description") or "",
            is_enabled=given["on"],
            variants=dict(zip(self._names, self._values, strict=True)),
            default_variant=rest.get("variant"),
            split=rest.get("split"),
            off_variant=None if off is None else self._variation(off, "/offVariation"),
            targets=self._targets(),
            rules=tuple(rules),
            prerequisites=tuple(self._prerequisites()),
            tags=tuple(texts(given.get("tags"), "/tags")),
        )

    def _variation(self, index: object, pointer: str) -> str:
        return _pick(self._names, index, pointer)

    def _targets(self) -> dict[str, tuple[str, ...]]:
        """Return the users of each variation; where several have a user it is the first, as at LaunchDarkly."""
        for index, each in enumerate(a_list(self._given.get("contextTargets"), "/contextTargets")):
            at = f"/contextTargets/{index}"
            if an_object(each, at).get("contextKind") not in (None, "user") and each.get("values"):
                raise UnmappableError(f"{at}/contextKind", "only contexts of the kind user are known here")
        found: dict[str, list[str]] = {}
        seen: set[str] = set()
        for index, each in enumerate(a_list(self._given.get("targets"), "/targets")):
            at = f"/targets/{index}"
            target = an_object(each, at)
            _only_users(target, at)
            variation = self._variation(target.get("variation"), f"{at}/variation")
            new = [user for user in dict.fromkeys(texts(target.get("values"), f"{at}/values")) if user not in seen]
            seen.update(new)
            found.setdefault(variation, []).extend(new)
        return {variation: tuple(users) for variation, users in found.items() if users}

    def _prerequisites(self) -> list[dict[str, Any]]:
        found = []
        for index, each in enumerate(a_list(self._given.get("prerequisites"), "/prerequisites")):
            at = f"/prerequisites/{index}"
            flag = a_text(an_object(each, at).get("key"), f"{at}/key")
            found.append({"flag": flag, "variants": [_pick(self._named.get(flag, []), each.get("variation"), f"{at}/variation")]})
        return found

    def _rules(self, rule: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
        at = f"/rules/{number}"
        conditions = _clauses(rule.get("clauses"), f"{at}/clauses")
        return _with_and_without({"name": f"rule-{number + 1}", "conditions": conditions, **self._outcome(rule, at)})

    def _outcome(self, given: Mapping[str, Any], pointer: str) -> dict[str, Any]:
        """Return what is answered: a variation, or a split in weighted ones."""
        rollout = given.get("rollout")
        if rollout is None:
            return {"variant": self._variation(given.get("variation"), f"{pointer}/variation")}
        at = f"{pointer}/rollout"
        _only_users(an_object(rollout, at), at)
        split: dict[str, int] = {}
        for index, each in enumerate(a_list(rollout.get("variations"), f"{at}/variations")):
            part = an_object(each, f"{at}/variations/{index}")
            variation = self._variation(part.get("variation"), f"{at}/variations/{index}/variation")
            weight = part.get("weight")
            if type(weight) is not int or weight < 0:
                raise UnmappableError(f"{at}/variations/{index}/weight", "a whole number is expected")
            split[variation] = split.get(variation, 0) + weight
        served = [variation for variation, weight in split.items() if weight]
        if len(served) == 1:
            return {"variant": served[0]}
        self._findings.reshuffled(self._name, at)
        parts = [{"variant": variation, "weight": weight} for variation, weight in split.items()]
        return {"split": parts, **_bucketing(rollout, at)}


def _with_and_without(rule: dict[str, Any]) -> list[dict[str, Any]]:
    """Return *rule*, and where it hashes an attribute what is answered without that: LaunchDarkly's bucket is 0 then."""
    if "bucket_by" not in rule:
        return [rule]
    there = {"attribute": rule["bucket_by"], "operator": "exists"}
    first = next((part["variant"] for part in rule.get("split", ()) if part["weight"]), rule.get("variant"))
    without = {"name": f"{rule['name']}-unhashed", "conditions": [*rule["conditions"], {**there, "negate": True}], "variant": first}
    return [{**rule, "conditions": [*rule["conditions"], there]}, without]


def _named(values: object) -> list[str]:
    """Return the names that variations get here: by their values where those are true and false, or else by their numbers."""
    if not isinstance(values, list):
        return []
    if len(values) == 2 and any(value is True for value in values) and any(value is False for value in values):
        return ["on" if value else "off" for value in values]
    return [f"v{number}" for number in range(len(values))]


def _pick(names: list[str], index: object, pointer: str) -> str:
    if type(index) is not int or not 0 <= index < len(names):
        raise UnmappableError(pointer, "it is the number of none of the variations")
    return names[index]


def _bucketing(given: Mapping[str, Any], at: str) -> dict[str, str]:
    return {} if given.get("bucketBy") in (None, "", "key") else {"bucket_by": _attribute(given, "bucketBy", at)}


def _only_users(given: Mapping[str, Any], pointer: str) -> None:
    if given.get("contextKind") not in (None, "", "user"):
        raise UnmappableError(f"{pointer}/contextKind", "only contexts of the kind user are known here")


def _clauses(given: object, pointer: str) -> list[Condition]:
    return [
        _clause(an_object(each, f"{pointer}/{index}"), f"{pointer}/{index}") for index, each in enumerate(a_list(given, pointer))
    ]


def _clause(clause: Mapping[str, Any], at: str) -> Condition:
    operator = clause.get("op")
    values = a_list(clause.get("values"), f"{at}/values")
    negate = clause.get("negate") is True
    if operator == "segmentMatch":
        inside: Condition = {"operator": "in_segment", "values": values}
        return negation(inside) if negate else inside
    _only_users(clause, at)
    if operator in ("before", "after"):
        raise UnmappableError(f"{at}/op", "its times are milliseconds where ours are seconds; write the rule anew")
    if not isinstance(operator, str) or operator not in _OPERATORS:
        raise UnmappableError(f"{at}/op", f"it has no equal here; these have: {', '.join(_OPERATORS)}, segmentMatch")
    attribute = _attribute(clause, "attribute", at)
    if operator.startswith("semVer"):
        values = [_padded(a_text(value, f"{at}/values")) for value in values]
    test = where(attribute, _OPERATORS[operator], values)
    # Of a missing attribute neither the clause nor its negation holds there; of one of another type the negation does.
    return {"all": [{"attribute": attribute, "operator": "exists"}, negation(test)]} if negate else test


def _attribute(given: Mapping[str, Any], field: str, at: str) -> str:
    """Return the attribute that *field* names: a path only where the kind of context is said, as at LaunchDarkly."""
    pointer = f"{at}/{field}"
    name = a_text(given.get(field), pointer)
    if name == "key":
        return TARGETING_KEY
    if name == "kind":
        raise UnmappableError(pointer, "only contexts of the kind user are known here")
    if not name.startswith("/") or not given.get("contextKind"):
        return name
    if "/" in name[1:]:
        raise UnmappableError(pointer, "attributes are looked up by one name, not inside of others")
    return name[1:].replace("~1", "/").replace("~0", "~")


def _padded(version: str) -> str:
    """Return *version* with the parts that LaunchDarkly lets be left out."""
    numbers, mark, rest = version.partition("-") if "-" in version else version.partition("+")
    return ".".join([*numbers.split("."), "0", "0"][: max(3, numbers.count(".") + 1)]) + mark + rest
