"""
Mutations that may be sent twice and are carried out once.

What is kept holds nothing of a request: a hash of the caller's name and key, and a keyed hash of the request, whose key
is the caller's own key and token, which are not kept. The answer of a repetition is rebuilt from what it was about.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
from typing import TYPE_CHECKING

from configkit.errors import ConfigKitError, ConflictError, InvalidDocumentError
from configkit.ports import IdempotencyStore, Outcome
from configkit_server.answers import Answer
from configkit_server.problems import (
    BAD_REQUEST,
    IN_FLIGHT,
    KEY_REUSED,
    KINDS,
    REPLAY_GONE,
    RETRY_AFTER,
    ProblemError,
    from_core,
    invalid,
)

if TYPE_CHECKING:
    from configkit_server.call import Call
    from configkit_server.service import Service

logger = logging.getLogger("configkit.server")

REPLAYED = (b"idempotent-replayed", b"true")
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_KEPT_PROBLEMS = (404, 409, 412)
_PROBLEM = "problem:"


async def carry_out(service: Service, call: Call, store: IdempotencyStore, given: bytes) -> Answer:
    """
    Return the answer to *call*, carrying it out only if its Idempotency-Key is new.

    Raises:
        ProblemError: 400 if the key is empty, 422 if it was used for another request, 409 if the first is still being carried
            out, and whatever the operation itself raises.
    """
    if not given:
        raise ProblemError(BAD_REQUEST, "the header Idempotency-Key is empty: leave it out, or send a key of your own making")
    if not _KEY.fullmatch(given):
        raise invalid("an Idempotency-Key is 1-255 printable ASCII characters without spaces", "")
    key = hashlib.sha256(call.grant.name.encode() + b"\0" + given).hexdigest()
    outcome = await _begin(service, store, key, _fingerprint(call, given))
    if outcome is not None:
        return await _rebuild(service, call, outcome)
    kept: Outcome | None = None
    try:
        answer = await call.operation.handler(service, call)
        kept = Outcome(answer.status, answer.subject, answer.version)
    except (ProblemError, ConfigKitError) as error:
        problem = error if isinstance(error, ProblemError) else from_core(error, preconditioned=call.preconditioned)
        if problem.kind.status in _KEPT_PROBLEMS:
            version = problem.extra.get("current_version")
            kept = Outcome(problem.kind.status, _PROBLEM + problem.kind.slug, version)
        raise
    finally:
        await _finish(service, store, key, kept)
    return answer


async def _begin(service: Service, store: IdempotencyStore, key: str, fingerprint: str) -> Outcome | None:
    try:
        return await service.executor.run(store.begin, key, fingerprint)
    except InvalidDocumentError:
        raise ProblemError(KEY_REUSED, "this Idempotency-Key was used for another request; use a new one") from None
    except ConflictError:
        raise ProblemError(IN_FLIGHT, "try again in a moment", headers=[RETRY_AFTER]) from None


async def _finish(service: Service, store: IdempotencyStore, key: str, outcome: Outcome | None) -> None:
    """Keep the outcome; the answer waits for that only while the request has time left."""
    finishing = asyncio.create_task(_keep(service, store, key, outcome))
    service.background.add(finishing)
    finishing.add_done_callback(service.background.discard)
    await asyncio.wait({finishing}, timeout=service.executor.left)


async def _keep(service: Service, store: IdempotencyStore, key: str, outcome: Outcome | None) -> None:
    try:
        await service.executor.run_within(service.kit.calls.deadline, store.finish, key, outcome)
    except ConfigKitError as error:
        logger.warning("the outcome of a request with an Idempotency-Key could not be kept: %s", error)


async def _rebuild(service: Service, call: Call, outcome: Outcome) -> Answer:
    replay = call.operation.replay
    if outcome.subject.startswith(_PROBLEM) or replay is None:
        kind = KINDS[outcome.subject.removeprefix(_PROBLEM)]
        extra = {"current_version": outcome.version} if outcome.version is not None else {}
        detail = "so ended the first request with this Idempotency-Key; use a new key to try again"
        raise ProblemError(kind, detail, headers=[REPLAYED], extra=extra)
    try:
        answer = await replay(service, call, outcome)
    except ConfigKitError as error:
        problem = from_core(error)
        if problem.kind.status != 404:
            raise
        detail = "the first request with this Idempotency-Key succeeded, and what it made was deleted since"
        raise ProblemError(REPLAY_GONE, detail, headers=[REPLAYED]) from None
    answer.headers = [*answer.headers, REPLAYED]
    return answer


def _fingerprint(call: Call, given: bytes) -> str:
    scope = call.scope
    parts = (
        scope["method"].encode(),
        b"/".join(call.segments),
        scope.get("query_string", b""),
        call.headers.get(b"if-match", b""),
        call.body,
    )
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.new(given + b"\0" + call.headers.get(b"authorization", b""), message, hashlib.sha256).hexdigest()
