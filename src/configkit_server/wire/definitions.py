"""
The fields of a flag beyond its plain form, as the OpenAPI document describes them.

They are checked by the core when the flag is made (`configkit.flags.definition`): what is allowed depends on other fields.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import WithJsonSchema

from configkit.flags import limits
from configkit.flags.conditions import OPERATORS
from configkit.flags.model import FLAG, MAX_TARGET_USERS, SEGMENT

Schema = dict[str, Any]

_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
_ATTRIBUTE: Schema = {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^\\u0000]*$"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_PERCENTAGE: Schema = {"type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.001}


def _object(properties: Schema, *required: str, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False, **more}


def _list(items: Schema, most: int, *, least: int = 0) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def _condition(depth: int) -> Schema:
    negate = {"type": "boolean", "default": False}
    plain = _object(
        {
            "attribute": _ATTRIBUTE,
            "operator": {"enum": list(OPERATORS)},
            "values": _list({"type": ["string", "number", "boolean"]}, limits.MAX_VALUES, least=1),
            "negate": negate,
        },
        "operator",
    )
    if depth == 1:
        return plain
    inner = _list(_condition(depth - 1), 1000, least=1)
    groups = [_object({group: inner, "negate": negate}, group) for group in ("all", "any")]
    return {"anyOf": [plain, *groups]}


_VALUE: Schema = {"type": ["string", "number", "boolean", "array", "object"]}
_WEIGHT: Schema = {"type": "integer", "minimum": 0, "maximum": limits.MAX_WEIGHTS}
_SPLIT: Schema = _list(_object({"variant": _NAME, "weight": _WEIGHT}, "variant", "weight"), limits.MAX_VARIANTS, least=1)
_USERS: Schema = _list({"type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^[^\\u0000]*$"}, MAX_TARGET_USERS)
_RULE = _object(
    {
        "name": {**_NAME, "pattern": "^[^\\u0000]*$"},
        "conditions": {
            **_list(_condition(3), 1000),
            "description": "All of them have to hold. Conditions in `all` and `any` may be nested five deep.",
        },
        "variant": {**_NAME, "description": "Who matches gets this variant; or:"},
        "split": {**_SPLIT, "description": "these, by weight."},
        "percentage": {**_PERCENTAGE, "description": "Only this share of who matches; the others go on to the next rule."},
        "bucket_by": {**_ATTRIBUTE, "description": "The attribute that is hashed in the place of the user id."},
        "salt": {**_ATTRIBUTE, "description": "What is hashed with it; by default the flag's salt."},
    }
)
_PREREQUISITE = _object({"flag": _NAME, "variants": _list(_NAME, limits.MAX_VARIANTS, least=1)}, "flag")
_POINT = _object({"at": _TIME, "percentage": _PERCENTAGE}, "at", "percentage")
_SCHEDULE = _object(
    {
        "starts_at": _TIME,
        "ends_at": _TIME,
        "ramp": {**_list(_POINT, limits.MAX_RAMP, least=1), "description": "The percentage from each time on."},
        "ramp_kind": {"enum": ["steps", "linear"], "default": "steps"},
    }
)


def _described(schema: Schema, description: str) -> WithJsonSchema:
    return WithJsonSchema({**schema, "description": description})


Kind = Annotated[Any, _described({"enum": [FLAG, SEGMENT]}, "A segment is a set of users that the rules of flags refer to.")]
Variants = Annotated[
    Any,
    _described(
        {"type": "object", "additionalProperties": _VALUE, "minProperties": 1, "maxProperties": limits.MAX_VARIANTS},
        "The values by variant, all of one type; without them `on` is true and `off` is false.",
    ),
]
Variant = Annotated[Any, _described(_NAME, "One of the variants.")]
Split = Annotated[Any, _described(_SPLIT, "With variants: how they are shared out among who matches nothing else.")]
Targets = Annotated[
    Any, _described({"type": "object", "additionalProperties": _USERS}, "Users by the variant that they get in any case.")
]
Rules = Annotated[Any, _described(_list(_RULE, limits.MAX_RULES), "The first rule whose conditions hold decides.")]
Prerequisites = Annotated[
    Any,
    _described(
        _list(_PREREQUISITE, limits.MAX_PREREQUISITES),
        "Flags that have to answer one of these variants (by default `on`), or this one is off.",
    ),
]
Schedule = Annotated[Any, _described(_SCHEDULE, "When the flag is on, and how its percentage grows meanwhile.")]
Salt = Annotated[Any, _described(_ATTRIBUTE, "What is hashed with the user; by default the flag's name.")]
BucketBy = Annotated[Any, _described(_ATTRIBUTE, "The attribute that is hashed in the place of the user id.")]
Tags = Annotated[
    Any, _described(_list({"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[^\\u0000]*$"}, 32), "Tags.")
]
Owner = Annotated[Any, _described({"type": "string", "maxLength": 255, "pattern": "^[^\\u0000]*$"}, "Who looks after it.")]
Expires = Annotated[Any, _described(_TIME, "When the flag should have been removed; it works on.")]
