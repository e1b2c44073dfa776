"""One request under way: what its handler may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope

from configkit import names
from configkit.models import ConfigPath, Origin
from configkit.ports import Scope as TokenScope
from configkit_server import etags
from configkit_server.auth import Grant
from configkit_server.bodies import parse_object
from configkit_server.executor import Executor
from configkit_server.operations import Operation
from configkit_server.problems import FORBIDDEN, ProblemError, from_validation, invalid

M = TypeVar("M", bound=BaseModel)

AT_ONCE = 4096
"""Bodies up to so many bytes are taken apart on the event loop, in a few milliseconds at most; larger ones beside it."""


class Call:
    """
    One request under way.

    Attributes:
        grant: What the caller may do; set once the caller is known.
        query: The values of the operation's parameters.
        body: The raw body, where the operation has one.
        is_given_up: It was answered already, because it took too long.
        is_recorded: Its outcome will be kept for repetitions.
        preconditioned: The caller named the version to be changed.
        caller: The name of who calls, once known, for the log.
    """

    __slots__ = (
        "_parsing", "body", "caller", "environments", "grant", "headers", "is_given_up", "is_recorded", "operation",
        "preconditioned", "query", "receive", "request_id", "scope", "segments",
    )  # fmt: skip

    grant: Grant
    query: Mapping[str, Any]
    operation: Operation
    segments: list[bytes]

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        headers: Mapping[bytes, bytes],
        request_id: str,
        environments: frozenset[str],
        parsing: Executor,
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.headers = headers
        self.request_id = request_id
        self.environments = environments
        self._parsing = parsing
        self.body = b""
        self.is_recorded = False
        self.is_given_up = False
        self.preconditioned = False
        self.caller = "-"

    @property
    def peer(self) -> str:
        """The address of who is connected."""
        client = self.scope.get("client")
        return client[0] if client else "local socket"

    @property
    def origin(self) -> Origin:
        """Who asks, for the journal."""
        return Origin(self.grant.name, f"rest {self.peer}")

    @property
    def wants_fresh(self) -> bool:
        """Whether the caller asked for the store's own answer."""
        control = self.headers.get(b"cache-control")
        return control is not None and b"no-cache" in control.lower()

    async def document(self) -> dict[str, Any]:
        """Return the JSON object that the body is. Raises `ProblemError` 400 or 422."""
        if len(self.body) <= AT_ONCE:
            return parse_object(self.body)
        return await self._parsing.run(parse_object, self.body)

    async def model(self, model: type[M], document: Mapping[str, Any] | None = None) -> M:
        """Return the body, or the *document* parsed from it, as *model*. Raises `ProblemError` 400 or 422."""
        if len(self.body) <= AT_ONCE:
            return _validated(model, parse_object(self.body) if document is None else document)
        return await self._parsing.run(_validated, model, await self.document() if document is None else document)

    def segment(self, index: int, pointer: str, check: Callable[..., str]) -> str:
        """Return the path's segment at *index* (the first is 1), decoded once and checked. Raises `ProblemError` 422."""
        raw = self.segments[index]
        try:
            text = unquote_to_bytes(raw).decode() if b"%" in raw else raw.decode()
        except UnicodeDecodeError:
            raise invalid("not UTF-8", pointer) from None
        return check(text, pointer=pointer)

    def environment(self, environment: str) -> str:
        """Return *environment* if it exists and the caller may use it."""
        if environment not in self.environments:
            names.check_environment(environment, allowed=self.environments)
        if not self.grant.reaches_environment(environment):
            raise ProblemError(FORBIDDEN, "this token is limited to other environments")
        return environment

    def service(self, service_name: str) -> str:
        """Return *service_name* if the caller may use it."""
        if not self.grant.reaches_service(service_name):
            raise ProblemError(FORBIDDEN, "this token is limited to other services")
        return service_name

    def readable(self, service_name: str) -> str:
        """Return *service_name* if the caller may read its configuration."""
        return service_name if self.grant.reads_service(service_name) else self.service(service_name)

    def path(self, environment: str, service_name: str, key: str) -> ConfigPath:
        """Return the path of a configuration value if the caller may reach it."""
        return ConfigPath(self.environment(environment), self.service(service_name), key)

    def require(self, scope: TokenScope, what: str) -> None:
        """Refuse unless the caller has *scope*."""
        if not self.grant.allows(scope):
            raise ProblemError(FORBIDDEN, f"{what} needs the scope {scope}", extra={"required_scope": scope})

    def is_unchanged(self, tag: str) -> bool:
        """Whether the caller has what *tag* names already."""
        return b"if-none-match" in self.headers and etags.matches(self._list(b"if-none-match") or "", tag)

    def expected(self, layer: str) -> frozenset[int] | None:
        """Return the versions of *layer* that If-Match accepts; None: any."""
        if b"if-match" not in self.headers:
            return None
        self.preconditioned = True
        return etags.expected_versions(self._list(b"if-match") or "", layer)

    def failed_precondition(self, current: int) -> str:
        """Return what to say to a caller whose preconditions do not hold for the version *current*."""
        told = f"the current version is {current}; read it, and write with that"
        if b"if-match" in self.headers:
            return f"{told}: If-Match takes the value of the ETag header as it was received, with its quotation marks"
        return told

    def _list(self, name: bytes) -> str | None:
        return etags.values(self.scope["headers"], name)


def _validated(model: type[M], document: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise from_validation(error) from None
