"""What a handler answers: status, headers and encoded body, sent as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydantic_core import to_json
from starlette.types import Receive, Send

JSON = b"application/json"
PRIVATE = (b"cache-control", b"private")
NO_STORE = (b"cache-control", b"no-store")

Header = tuple[bytes, bytes]
Stream = Callable[[Receive, Send], Awaitable[None]]


class Answer:
    """
    An answer, encoded.

    Attributes:
        stream: Sends the body in place of *body*.
        linger: The rest of the request is read for a moment before the connection is closed.
        subject: What a mutation changed, for its idempotency record.
        version: The version that a mutation made.
    """

    __slots__ = ("body", "content_type", "headers", "linger", "status", "stream", "subject", "version")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        headers: Sequence[Header] = (),
        *,
        content_type: bytes = JSON,
        stream: Stream | None = None,
        linger: bool = False,
        subject: str = "",
        version: int | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.content_type = content_type
        self.stream = stream
        self.linger = linger
        self.subject = subject
        self.version = version


def answer_json(
    status: int, document: Any, headers: Sequence[Header] = (NO_STORE,), *, subject: str = "", version: int | None = None
) -> Answer:
    """Return *document* as a JSON answer."""
    return Answer(status, to_json(document), headers, subject=subject, version=version)


def page(items: Sequence[Any], *, total: int, limit: int, offset: int) -> dict[str, Any]:
    """Return the document of a list."""
    return {"items": items, "total": total, "limit": limit, "offset": offset}
