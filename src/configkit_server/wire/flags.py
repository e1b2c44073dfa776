"""Feature flags on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from configkit import names
from configkit.errors import InvalidDocumentError
from configkit.flags import limits
from configkit.flags.model import MAX_TARGET_USERS, Evaluation, Flag
from configkit.flags.percentages import check_percentage
from configkit.flags.targeting import MAX_USER_ID
from configkit_server.wire import definitions
from configkit_server.wire.text import Body, Document, Environment, Key, Version, checked


def _description(value: str) -> str:
    return names.check_text(value, limit=4096, pointer="/description")


def check_user(value: str) -> str:
    """Return *value* if it may be a user's id."""
    return names.check_text(value, limit=MAX_USER_ID, pointer="/user_id")


def _target(value: str) -> str:
    return names.check_text(value, limit=MAX_USER_ID, pointer="", empty=False)


def _few_attributes(value: dict[str, Any]) -> dict[str, Any]:
    if len(value) > limits.MAX_ATTRIBUTES:
        raise InvalidDocumentError(limits.TOO_MANY_ATTRIBUTES, pointer="")
    return value


_TEXT = {"type": "string", "pattern": "^[^\\u0000]*$"}
Description = Annotated[str, checked(_description), WithJsonSchema({**_TEXT, "maxLength": 4096})]
Percentage = Annotated[
    float,
    checked(check_percentage),
    WithJsonSchema(
        {"type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.001, "description": "0 to 100 in steps of 0.001."}
    ),
]
UserId = Annotated[str, checked(check_user), WithJsonSchema({**_TEXT, "maxLength": MAX_USER_ID})]
TargetUser = Annotated[str, checked(_target), WithJsonSchema({**_TEXT, "minLength": 1, "maxLength": MAX_USER_ID})]
Context = Annotated[
    dict[str, Any], checked(_few_attributes), WithJsonSchema({"type": "object", "maxProperties": limits.MAX_ATTRIBUTES})
]
TargetUsers = Annotated[list[TargetUser], Field(max_length=MAX_TARGET_USERS, fail_fast=True)]


class FlagCreate(Body):
    """A new flag."""

    name: Key
    environment: Environment
    description: Description = ""
    is_enabled: bool = False
    rollout_percentage: Percentage = 0.0
    target_users: TargetUsers = Field(default_factory=list)
    kind: definitions.Kind | None = None
    variants: definitions.Variants | None = None
    default_variant: definitions.Variant | None = None
    split: definitions.Split | None = None
    off_variant: definitions.Variant | None = None
    targets: definitions.Targets | None = None
    rules: definitions.Rules | None = None
    prerequisites: definitions.Prerequisites | None = None
    schedule: definitions.Schedule | None = None
    salt: definitions.Salt | None = None
    bucket_by: definitions.BucketBy | None = None
    tags: definitions.Tags | None = None
    owner: definitions.Owner | None = None
    expires_at: definitions.Expires | None = None


class FlagUpdate(Body):
    """Changes of a flag: an absent field stays, null resets it, a list replaces."""

    description: Description | None = None
    is_enabled: bool | None = None
    rollout_percentage: Percentage | None = None
    target_users: TargetUsers | None = None
    variants: definitions.Variants | None = None
    default_variant: definitions.Variant | None = None
    split: definitions.Split | None = None
    off_variant: definitions.Variant | None = None
    targets: definitions.Targets | None = None
    rules: definitions.Rules | None = None
    prerequisites: definitions.Prerequisites | None = None
    schedule: definitions.Schedule | None = None
    salt: definitions.Salt | None = None
    bucket_by: definitions.BucketBy | None = None
    tags: definitions.Tags | None = None
    owner: definitions.Owner | None = None
    expires_at: definitions.Expires | None = None
    expected_version: Version | None = None


class Evaluate(Body):
    """Which flag, for whom."""

    flag_name: Key
    environment: Environment
    user_id: UserId | None = None
    context: Context | None = None


class EvaluateBatch(Body):
    """Which flags, for whom; without `flag_names` all of the environment."""

    environment: Environment
    flag_names: list[Key] | None = Field(None, max_length=500)
    user_id: UserId | None = None
    context: Context | None = None


class FeatureFlag(Document):
    """A feature flag; fields beyond the plain form are there only where they are not as they are by default."""

    name: str
    description: str
    environment: str
    is_enabled: bool
    rollout_percentage: float
    target_users: list[str]
    version: int
    created_at: datetime
    updated_at: datetime
    kind: definitions.Kind | None = None
    variants: definitions.Variants | None = None
    default_variant: definitions.Variant | None = None
    split: definitions.Split | None = None
    off_variant: definitions.Variant | None = None
    targets: definitions.Targets | None = None
    rules: definitions.Rules | None = None
    prerequisites: definitions.Prerequisites | None = None
    schedule: definitions.Schedule | None = None
    salt: definitions.Salt | None = None
    bucket_by: definitions.BucketBy | None = None
    tags: definitions.Tags | None = None
    owner: definitions.Owner | None = None
    expires_at: definitions.Expires | None = None


class FlagPage(Document):
    """A page of flags; of one environment with the version of its whole set."""

    items: list[FeatureFlag]
    total: int
    limit: int
    offset: int
    version: int | None = Field(
        None, description="The counter of the one environment asked for, which every page of one set shares."
    )
    since: int | None = Field(None, description="The items are what has changed after this version of the set, not all of it.")
    gone: list[str] | None = Field(None, description="With since: flags that are no more.")
    checksum: int | None = Field(None, description="With since: the sum of the versions of all flags; their number is total.")


class ExplanationStep(Document):
    """One thing that was looked at; `depth` is more than 0 for parts of the step before."""

    step: str
    detail: str
    holds: bool | None
    depth: int


class FlagEvaluation(Document):
    """A decision, in OpenFeature's words; `error_code` is there with reason ERROR only."""

    flag_name: str
    environment: str
    enabled: bool
    value: Any
    variant: str | None
    reason: str
    version: int | None
    error_code: str | None = None
    rule: str | None = Field(None, description="The name of the rule that decided, if one did.")
    explanation: list[ExplanationStep] | None = Field(None, description="With explain=true.")


class FlagEvaluations(Document):
    """Decisions by flag."""

    items: dict[str, FlagEvaluation]


def flag_document(flag: Flag) -> dict[str, Any]:
    """Return what goes over the wire for *flag*."""
    return {
        "name": flag.name,
        "description": flag.description,
        "environment": flag.environment,
        "is_enabled": flag.is_enabled,
        "rollout_percentage": flag.rollout_percentage,
        "target_users": flag.target_users,
        "version": flag.version,
        "created_at": flag.created_at,
        "updated_at": flag.updated_at,
        **flag.extended(),
    }


def evaluation_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return what goes over the wire for *evaluation*."""
    shown = {
        "flag_name": evaluation.flag_name,
        "environment": evaluation.environment,
        "enabled": evaluation.enabled,
        "value": False if evaluation.error_code and evaluation.value is None else evaluation.value,
        "variant": evaluation.variant,
        "reason": evaluation.reason,
        "version": evaluation.version,
    }
    if evaluation.error_code is not None:
        shown["error_code"] = evaluation.error_code
    if evaluation.rule is not None:
        shown["rule"] = evaluation.rule
    return shown
