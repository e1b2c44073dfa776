"""The types of single fields: each checked by the core's own rule, each with a schema that says the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from configkit import names, values
from configkit.errors import InvalidDocumentError
from configkit.models import check_url

MAX_VERSION = 2_147_483_647
MAX_COMMENT = 1024
MOST_FIELDS = 32

Schema = dict[str, Any]

ENVIRONMENT: Schema = {"type": "string", "x-environment": True}
"""The OpenAPI document puts the deployment's environments in its place."""
SERVICE: Schema = {"type": "string", "pattern": "^([a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?|_shared)$"}
REGISTERED_SERVICE: Schema = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?$"}
FOREIGN_SERVICE: Schema = {"type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$"}
KEY: Schema = {"type": "string", "maxLength": 255, "pattern": "^[A-Za-z0-9]((\\.?[A-Za-z0-9_-])*\\.?[A-Za-z0-9_])?$"}
INSTANCE: Schema = {"type": "string", "maxLength": 255, "pattern": "^[A-Za-z0-9]((\\.?[A-Za-z0-9_:-])*\\.?[A-Za-z0-9_])?$"}
ZONE: Schema = {"type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$"}
_PORT = "(:0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_REST = r"""([/?][!-"$-\[\]-~]*)?$"""
_ANY_HOST = r"""[!-"$-.0-9;->A-Z^-~]+"""
_NAME = "([A-Za-z0-9_][A-Za-z0-9_-]{0,62}\\.){0,3}[A-Za-z_][A-Za-z0-9_-]{0,58}"
URL: Schema = {"type": "string", "maxLength": 2048, "pattern": f"^https?://{_ANY_HOST}{_PORT}{_REST}"}
CALLED_URL: Schema = {"type": "string", "maxLength": 2048, "pattern": f"^https?://{_NAME}{_PORT}{_REST}"}
"""Addresses too, where they may be called."""


def checked(check: Callable[..., Any]) -> AfterValidator:
    """Return a validator that applies a rule of the core and keeps its words."""

    def validate(value: Any) -> Any:
        try:
            return check(value)
        except InvalidDocumentError as error:
            raise PydanticCustomError("invalid", "{detail}", {"detail": error.detail}) from None

    return AfterValidator(validate)


def _value(value: Any) -> Any:
    values.encode(value)
    return value


def _comment(value: str) -> str:
    return names.check_text(value, limit=MAX_COMMENT, pointer="/comment")


def _url(value: str) -> str:
    return check_url(value, pointer="")


def _registered(value: str) -> str:
    return names.check_service_name(names.check_service_name(value, foreign=True))


Environment = Annotated[str, checked(names.check_environment), WithJsonSchema(ENVIRONMENT)]
ServiceName = Annotated[str, checked(names.check_service_name), WithJsonSchema(SERVICE)]
RegisteredService = Annotated[str, checked(_registered), WithJsonSchema(REGISTERED_SERVICE)]
Key = Annotated[str, checked(names.check_key), WithJsonSchema(KEY)]
InstanceId = Annotated[str, checked(names.check_instance_id), WithJsonSchema(INSTANCE)]
Zone = Annotated[str, checked(names.check_zone), WithJsonSchema(ZONE)]
Url = Annotated[str, checked(_url), WithJsonSchema(URL)]
CalledUrl = Annotated[str, checked(_url), WithJsonSchema(CALLED_URL)]
Comment = Annotated[
    str, checked(_comment), WithJsonSchema({"type": "string", "maxLength": MAX_COMMENT, "pattern": "^[^\\u0000]*$"})
]


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def few(document: Any, most: int) -> Any:
    """Return *document* unless it is an object of more than *most* members, before any of them is looked at."""
    if isinstance(document, dict) and len(document) > most:
        raise PydanticCustomError("invalid", "{detail}", {"detail": f"at most {most} members"})
    return document


WHOLE = BeforeValidator(_whole)
"""JSON has one kind of number, so that 3.0 is a whole one."""
Version = Annotated[int, Field(ge=1, le=MAX_VERSION), WHOLE]
Value = Annotated[
    Any,
    checked(_value),
    WithJsonSchema(
        {
            "description": "Any JSON value but null, at most 512 KiB and 64 levels deep; not the mask of a secret.",
            "type": ["string", "number", "boolean", "array", "object"],
            "not": {"const": values.MASK},
        }
    ),
]


class Body(BaseModel):
    """A request body: every field declared, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, document: Any) -> Any:
        # Each unknown field is an error to be built, and a body has room for a hundred thousand of them.
        return few(document, MOST_FIELDS)


class Document(BaseModel):
    """A document in an answer."""

    model_config = ConfigDict(extra="forbid")
