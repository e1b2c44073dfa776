"""The stream of events."""

from __future__ import annotations

from configkit_server.answers import Answer
from configkit_server.call import Call
from configkit_server.events import Reader, stream
from configkit_server.problems import FORBIDDEN, ProblemError, unavailable
from configkit_server.service import Service

_READ_SCOPES = ("config:read", "flags:read", "registry:read")
SSE_HEAD = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


async def stream_events(service: Service, call: Call) -> Answer:
    """Answer with the stream of what the caller may know of."""
    if not any(call.grant.allows(scope) for scope in _READ_SCOPES):  # type: ignore[arg-type]
        raise ProblemError(FORBIDDEN, f"this needs one of the scopes {', '.join(_READ_SCOPES)}")
    if service.draining:
        raise unavailable("the server is shutting down; try another one")
    if call.scope["method"] == "HEAD":
        return Answer(200, content_type=SSE_HEAD[0][1])
    given = call.headers.get(b"last-event-id")
    last = given.decode("utf-8", "replace")[:256] if given is not None else None
    grant = call.grant
    return Answer(200, stream=stream(service.hub, lambda: service.hub.open(Reader(grant), last), SSE_HEAD))
