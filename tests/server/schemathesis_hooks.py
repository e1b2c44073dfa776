"""What schemathesis cannot know from the document: each request with an Idempotency-Key is a new one."""

from __future__ import annotations

import uuid
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Give each request that carries a well-formed key a key of its own."""
    given = case.headers.get("Idempotency-Key") if case.headers else None
    if isinstance(given, str) and 0 < len(given) <= 255 and all("!" <= char <= "~" for char in given):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
