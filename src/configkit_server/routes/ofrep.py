"""OpenFeature's remote evaluation: one flag, all flags, and the stream that says when to ask again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmh3 import mmh3_x64_128_digest
from pydantic_core import to_json

from configkit.errors import InvalidDocumentError
from configkit.flags.limits import MAX_ATTRIBUTES, TOO_MANY_ATTRIBUTES
from configkit.names import check_key
from configkit_server import etags
from configkit_server.answers import NO_STORE, PRIVATE, Answer
from configkit_server.call import Call
from configkit_server.events import KEEP_ALIVE_SECONDS, stream
from configkit_server.ofrep import RefetchReader, failure
from configkit_server.problems import ProblemError, unavailable
from configkit_server.routes.events import SSE_HEAD
from configkit_server.routes.flags import flag_set
from configkit_server.service import Service

KEY_SEGMENT = 5
EVENTS = "/ofrep/v1/events"


def _environment(service: Service, call: Call) -> str:
    """
    Count the request, and return the environment that is meant.

    The query or the header says it, or it is the only one of the token, or the server's own.
    The official providers can be told of an address and of headers, and of nothing else.
    """
    if service.evaluations is not None:
        service.evaluations.take(f"{call.grant.name} {call.peer}")
    asked: str | None = call.query["environment"]
    if asked is None and b"x-environment" in call.headers:
        asked = call.headers[b"x-environment"].decode("latin-1")
    if asked is None and call.grant.environments is not None and len(call.grant.environments) == 1:
        asked = next(iter(call.grant.environments))
    return call.environment(service.kit.environment if asked is None else asked)


async def _context(call: Call) -> Mapping[str, Any] | bytes:
    """Return the evaluation context of the body; or the body of the answer to a request that has none."""
    try:
        document = await call.document()
    except ProblemError as error:
        return failure("PARSE_ERROR", details=error.detail)
    context = document.get("context", {})
    if not isinstance(context, dict):
        return failure("INVALID_CONTEXT")
    if len(context) > MAX_ATTRIBUTES:
        return failure("INVALID_CONTEXT", details=TOO_MANY_ATTRIBUTES)
    return context


async def evaluate_flag(service: Service, call: Call) -> Answer:
    """Decide one flag: from memory, and encoded already."""
    flags = await flag_set(service, call, _environment(service, call))
    try:
        name = call.segment(KEY_SEGMENT, "/key", check_key)
    except (InvalidDocumentError, ProblemError):
        return Answer(404, failure("FLAG_NOT_FOUND", ""), (NO_STORE,))
    context = await _context(call)
    if isinstance(context, bytes):
        return Answer(400, context, (NO_STORE,))
    status, body = service.ofrep.of_flag(flags, name, context)
    return Answer(status, body, (NO_STORE,))


async def evaluate_flags(service: Service, call: Call) -> Answer:
    """Decide every flag; the tag covers the answer, and so the flags, the context and the time."""
    environment = _environment(service, call)
    flags = await flag_set(service, call, environment)
    context = await _context(call)
    if isinstance(context, bytes):
        return Answer(400, context, (NO_STORE,))
    decided = service.ofrep.of_all(flags, context)
    tag = f'"{mmh3_x64_128_digest(decided).hex()}"'
    headers = [PRIVATE, etags.header(tag)]
    if call.is_unchanged(tag):
        return Answer(304, headers=headers)
    streams = to_json([{"type": "sse", "url": _events(call, environment), "inactivityDelaySec": int(4 * KEEP_ALIVE_SECONDS)}])
    metadata = to_json({"environment": environment, "version": flags.version})
    return Answer(200, b'{"flags":[%b],"eventStreams":%b,"metadata":%b}' % (decided, streams, metadata), headers)


def _events(call: Call, environment: str) -> str:
    host = call.headers.get(b"host", b"localhost").decode("latin-1")
    scheme = call.headers.get(b"x-forwarded-proto", call.scope.get("scheme", "http").encode()).decode("latin-1")
    return f"{scheme}://{host}{call.scope.get('root_path', '')}{EVENTS}?environment={environment}"


async def stream_refetches(service: Service, call: Call) -> Answer:
    """Answer with a stream that says when to ask again."""
    environment = _environment(service, call)
    if service.draining:
        raise unavailable("the server is shutting down; try another one")
    if call.scope["method"] == "HEAD":
        return Answer(200, content_type=SSE_HEAD[0][1])
    await flag_set(service, call, environment)
    reader = RefetchReader(call.grant, environment)
    last = "missed" if b"last-event-id" in call.headers else None
    return Answer(200, stream=stream(service.hub, lambda: service.hub.open(reader, last), SSE_HEAD))
