"""Problems and health on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from configkit_server.wire.text import Document


class ProblemDetail(BaseModel):
    """What is wrong with one part of the input."""

    detail: str
    pointer: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ProblemDetail] = []


class Alive(Document):
    """The process serves."""

    status: Literal["alive"]


class Ready(Document):
    """The server has what it needs."""

    status: Literal["ready"]


class Component(Document):
    """One thing the server depends on."""

    status: Literal["healthy", "degraded", "unhealthy"]
    latency_ms: float | None
    detail: str


class Health(Document):
    """How the server is."""

    status: Literal["healthy", "degraded", "unhealthy"]
    components: dict[str, Component]
