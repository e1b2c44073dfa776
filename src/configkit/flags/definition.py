"""
The parts of a flag beyond its plain form, as documents, and how they are checked when a flag is written.

    variants        {"control": "blue", "treatment": "red"}: values of one type; without them a flag is on or off
    split           [{"variant": "control", "weight": 1}, {"variant": "treatment", "weight": 3}]
    targets         {"treatment": ["ann", "bob"]}: who gets a variant whatever the rules say
    rules           [{"name": "germans", "conditions": [...], "variant": "treatment", "percentage": 50, "bucket_by": "org"}]:
                    the first whose conditions all hold decides; with a percentage, who is outside of it goes on to the next
    prerequisites   [{"flag": "new_api", "variants": ["on"]}]: all of them, or the flag is off
    schedule        {"starts_at": time, "ends_at": time, "ramp": [{"at": time, "percentage": 10}, ...], "ramp_kind": "linear"}

The conditions of a rule are those of `configkit.flags.conditions`. Every check returns its document with everything in
its place, so that equal flags are equal, or raises `InvalidDocumentError` with a pointer to the field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from configkit import names, values
from configkit.errors import InvalidDocumentError
from configkit.flags import limits
from configkit.flags.conditions import Document, check_conditions, check_moment, fields, listed
from configkit.flags.percentages import check_percentage

ON, OFF = "on", "off"
PLAIN_VARIANTS: Mapping[str, Any] = {ON: True, OFF: False}
"""What a flag without variants of its own answers."""


def kind_of(value: object) -> str:
    """Return the type of a variant's value in OpenFeature's words: boolean, string, number or object."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    return "number" if isinstance(value, int | float) else "object"


def check_variants(given: object, pointer: str = "/variants") -> Document | None:
    """Return the values by variant; None: none are given, so that the flag is on or off."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise InvalidDocumentError("an object of values by variant", pointer=pointer)
    if not 1 <= len(given) <= limits.MAX_VARIANTS:
        raise InvalidDocumentError(f"1 to {limits.MAX_VARIANTS} variants", pointer=pointer)
    size, kinds = 0, set()
    for name, value in given.items():
        names.check_key(name, pointer=f"{pointer}/{name}" if isinstance(name, str) else pointer)
        size += len(values.encode(value, pointer=f"{pointer}/{name}").encode())
        kinds.add(kind_of(value))
    if len(kinds) > 1:
        raise InvalidDocumentError(f"values of one type, not {' and '.join(sorted(kinds))}", pointer=pointer)
    if size > limits.MAX_VARIANT_BYTES:
        raise InvalidDocumentError("values of more than 64 KiB together; store them as configuration", pointer=pointer)
    return {name: values.copy(_plain(value)) for name, value in given.items()}


def _plain(value: Any) -> Any:
    """Return *value* with lists and dicts for whatever else is like them."""
    return json.loads(json.dumps(value, default=dict)) if not isinstance(value, values.SCALARS) else value


def check_variant(given: object, variants: Mapping[str, Any], pointer: str) -> str:
    """Return *given* if it is one of *variants*."""
    if not isinstance(given, str) or given not in variants:
        raise InvalidDocumentError(f"one of this flag's variants: {', '.join(variants)}", pointer=pointer)
    return given


def check_split(given: object, variants: Mapping[str, Any], pointer: str = "/split") -> list[Document] | None:
    """Return weighted variants in their order, which the buckets follow; None: none are given."""
    if given is None:
        return None
    parts, total, seen = [], 0, set()
    for index, each in enumerate(listed(given, pointer, limits.MAX_VARIANTS)):
        at = f"{pointer}/{index}"
        part = fields(each, at, {"variant", "weight"})
        variant = check_variant(part.get("variant"), variants, f"{at}/variant")
        weight = part.get("weight")
        if isinstance(weight, float) and weight.is_integer():
            weight = int(weight)  # JSON has one kind of number
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            raise InvalidDocumentError("an integer of at least 0", pointer=f"{at}/weight")
        if variant in seen:
            raise InvalidDocumentError("each variant once", pointer=f"{at}/variant")
        seen.add(variant)
        total += weight
        if total > limits.MAX_WEIGHTS:
            raise InvalidDocumentError(f"weights of at most {limits.MAX_WEIGHTS} together", pointer=f"{at}/weight")
        parts.append({"variant": variant, "weight": weight})
    if not total:
        raise InvalidDocumentError("at least one variant with a weight above 0", pointer=pointer)
    return parts


def check_attribute(given: object, pointer: str) -> str | None:
    """Return the attribute whose value is hashed; None: the user id."""
    return None if given is None else names.check_text(given, limit=256, pointer=pointer, empty=False)


def check_salt(given: object, pointer: str = "/salt") -> str | None:
    """Return the salt of the hash; None: the flag's name."""
    return None if given is None else names.check_text(given, limit=256, pointer=pointer, empty=False)


def check_rules(given: object, variants: Mapping[str, Any], *, segment: bool, pointer: str = "/rules") -> tuple[Document, ...]:
    """Return the rules in their order."""
    checked, seen, costs = [], set(), 0.0
    for index, each in enumerate(listed(() if given is None else given, pointer, limits.MAX_RULES)):
        at = f"{pointer}/{index}"
        rule, cost = _rule(each, variants, at, segment=segment)
        costs += cost
        name = rule.setdefault("name", f"rule {index + 1}")
        if name in seen:
            raise InvalidDocumentError("another rule has this name", pointer=f"{at}/name")
        seen.add(name)
        checked.append(rule)
    if segment and costs > limits.MAX_SEGMENT_COST:
        remedy = f"rules of a segment take {limits.MAX_SEGMENT_COST:g} us at most to decide, these up to {costs:.0f}; simplify them"
        raise InvalidDocumentError(remedy, pointer=pointer)
    return tuple(checked)


def _rule(given: object, variants: Mapping[str, Any], at: str, *, segment: bool) -> tuple[Document, float]:
    known = {"name", "conditions", "variant", "split", "percentage", "bucket_by", "salt"}
    document = fields(given, at, known)
    rule: Document = {}
    if "name" in document:
        rule["name"] = names.check_text(document["name"], limit=255, pointer=f"{at}/name", empty=False)
    rule["conditions"], cost = check_conditions(document.get("conditions", ()), f"{at}/conditions", limits.MAX_COST)
    if ("variant" in document) == ("split" in document):
        raise InvalidDocumentError("either a variant or a split", pointer=f"{at}/variant")
    if "variant" in document:
        rule["variant"] = check_variant(document["variant"], variants, f"{at}/variant")
        if "percentage" in document:
            rule["percentage"] = check_percentage(document["percentage"], pointer=f"{at}/percentage")
    else:
        rule["split"] = check_split(document["split"], variants, f"{at}/split")
        if "percentage" in document:
            raise InvalidDocumentError("the weights of a split are its percentages: leave it out", pointer=f"{at}/percentage")
    for name, check in (("bucket_by", check_attribute), ("salt", check_salt)):
        if name in document:
            rule[name] = check(document[name], f"{at}/{name}")
    if segment:
        _refuse_segments(rule["conditions"], f"{at}/conditions")
    return rule, cost


def _refuse_segments(conditions: Sequence[Document], pointer: str) -> None:
    for index, condition in enumerate(conditions):
        at = f"{pointer}/{index}"
        if condition.get("operator") == "in_segment":
            raise InvalidDocumentError("a segment does not refer to others; repeat the conditions", pointer=f"{at}/operator")
        for group in ("all", "any"):
            _refuse_segments(condition.get(group, ()), f"{at}/{group}")


def check_prerequisites(given: object, own: str, pointer: str = "/prerequisites") -> tuple[Document, ...]:
    """Return the flags that have to answer one of the named variants for this one to be on."""
    checked, seen = [], set()
    for index, each in enumerate(listed(() if given is None else given, pointer, limits.MAX_PREREQUISITES)):
        at = f"{pointer}/{index}"
        document = fields(each, at, {"flag", "variants"})
        flag = names.check_key(document.get("flag"), pointer=f"{at}/flag")
        if flag == own:
            raise InvalidDocumentError("a flag is no prerequisite of itself", pointer=f"{at}/flag")
        if flag in seen:
            raise InvalidDocumentError("each flag once, with all variants that will do", pointer=f"{at}/flag")
        seen.add(flag)
        wanted = [
            names.check_key(variant, pointer=f"{at}/variants/{number}")
            for number, variant in enumerate(listed(document.get("variants", [ON]), f"{at}/variants", limits.MAX_VARIANTS))
        ]
        if not wanted:
            raise InvalidDocumentError("at least one variant", pointer=f"{at}/variants")
        checked.append({"flag": flag, "variants": wanted})
    return tuple(checked)


def check_schedule(given: object, pointer: str = "/schedule") -> Document | None:
    """Return when a flag is on, and how its percentage grows meanwhile; None: always."""
    if given is None:
        return None
    document = fields(given, pointer, {"starts_at", "ends_at", "ramp", "ramp_kind"})
    schedule: Document = {}
    for name in ("starts_at", "ends_at"):
        if name in document:
            schedule[name] = check_moment(document[name], f"{pointer}/{name}").isoformat()
    if "starts_at" in schedule and "ends_at" in schedule and schedule["starts_at"] >= schedule["ends_at"]:
        raise InvalidDocumentError("after starts_at", pointer=f"{pointer}/ends_at")
    if "ramp" in document:
        schedule["ramp"] = _ramp(document["ramp"], f"{pointer}/ramp")
        kind = document.get("ramp_kind", "steps")
        if kind not in ("steps", "linear"):
            raise InvalidDocumentError("steps or linear", pointer=f"{pointer}/ramp_kind")
        schedule["ramp_kind"] = kind
    elif "ramp_kind" in document:
        raise InvalidDocumentError("only with a ramp", pointer=f"{pointer}/ramp_kind")
    return schedule or None


def _ramp(given: object, pointer: str) -> list[Document]:
    points: list[Document] = []
    for index, each in enumerate(listed(given, pointer, limits.MAX_RAMP)):
        at = f"{pointer}/{index}"
        document = fields(each, at, {"at", "percentage"})
        moment = check_moment(document.get("at"), f"{at}/at").isoformat()
        if points and points[-1]["at"] >= moment:
            raise InvalidDocumentError("later than the point before", pointer=f"{at}/at")
        points.append({"at": moment, "percentage": check_percentage(document.get("percentage"), pointer=f"{at}/percentage")})
    if not points:
        raise InvalidDocumentError("at least one point", pointer=pointer)
    return points


def check_tags(given: object, pointer: str = "/tags") -> tuple[str, ...]:
    """Return the tags, each once, in their order."""
    checked = [
        names.check_text(tag, limit=limits.MAX_TAG, pointer=f"{pointer}/{index}", empty=False)
        for index, tag in enumerate(listed(() if given is None else given, pointer, limits.MAX_TAGS))
    ]
    return tuple(dict.fromkeys(checked))
