"""What the API can do: one table that makes the routes, checks requests before handlers run, and is the OpenAPI document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from configkit.ports import Outcome, Scope
from configkit_server.answers import Answer
from configkit_server.queries import Parameter, Query

if TYPE_CHECKING:
    from configkit_server.call import Call
    from configkit_server.service import Service

Handler = Callable[["Service", "Call"], Awaitable[Answer]]
Replay = Callable[["Service", "Call", Outcome], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One method on one path.

    Attributes:
        path: Its template, such as ``/api/v1/config/{key}``.
        name: Its operationId.
        answers: The model of each successful status; None: no body.
        scope: What a token needs; None: any token does.
        is_open: Answered to everybody, without credentials.
        body: The model of the request's body.
        path_parameters: The schema of each parameter of the path.
        problems: Statuses of problems beyond those that every operation of its kind has.
        failures: The model of statuses whose answer may be in another protocol's words, and not a problem.
        replay: Rebuilds the answer of a mutation for a repeated Idempotency-Key; what has one is a mutation.
        etag: Answers carry an ETag, and a GET answers 304.
        preconditions: If-Match is obeyed.
        media_type: What a successful answer is.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    answers: Mapping[int, type[BaseModel] | None]
    scope: Scope | None = None
    is_open: bool = False
    body: type[BaseModel] | None = None
    parameters: Sequence[Parameter] = ()
    path_parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: tuple[int, ...] = ()
    failures: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    replay: Replay | None = None
    etag: bool = False
    preconditions: bool = False
    media_type: str = "application/json"
    query: Query = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "query", Query(self.parameters))

    @property
    def segments(self) -> tuple[str, ...]:
        """The parts of the path between its slashes."""
        return tuple(self.path.strip("/").split("/"))

    @property
    def is_item(self) -> bool:
        """Whether the path names one thing, so that it does not answer with a trailing slash."""
        return self.path.endswith("}")

    @property
    def tag(self) -> str:
        """The group it belongs to."""
        parts = self.segments
        return parts[2] if len(parts) > 2 else "server"
