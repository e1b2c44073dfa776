"""OpenFeature's remote evaluation on the wire (OFREP 0.3)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from configkit_server.wire.flags import Context
from configkit_server.wire.text import Document


class OfrepContext(BaseModel):
    """For whom: the context's `targetingKey` is the user."""

    model_config = ConfigDict(extra="allow", strict=True)

    context: Context = Field(default_factory=dict)


class OfrepEvaluation(Document):
    """A decision; without a value the caller's own default is meant."""

    key: str
    value: Any = None
    reason: str
    variant: str
    metadata: dict[str, Any]


class OfrepFailure(Document):
    """Why there is no decision, in OpenFeature's words; `key` is there where it is about one flag."""

    key: str | None = None
    errorCode: str  # noqa: N815  OFREP's name
    errorDetails: str  # noqa: N815


class OfrepEventStream(Document):
    """Where to hear of changes."""

    type: str
    url: str
    inactivityDelaySec: int  # noqa: N815


class OfrepEvaluations(Document):
    """A decision, or a failure, of every flag."""

    flags: list[OfrepEvaluation | OfrepFailure]
    eventStreams: list[OfrepEventStream]  # noqa: N815
    metadata: dict[str, Any]
