"""
Mutations that may be sent twice and are carried out once.

What is kept holds nothing of a request: a hash of the caller's name and key, and a keyed hash of the request, whose key
is the caller's own key and token, which are not kept. The answer of a repetition is rebuilt from what it was about.

A request that has begun is carried out to its end, whoever still waits for it, so that its outcome is known; it is
kept here until it is recorded. Only the end of the process can lose it, and what was begun then is never begun again.
So is what a backend did not answer: only a failure that is known to have changed nothing may be tried again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from configkit.errors import ConfigKitError, ConflictError, InvalidDocumentError, OutcomeUnknownError, UnavailableError
from configkit.ports import IdempotencyStore, Outcome
from configkit_server.answers import Answer
from configkit_server.problems import (
    BAD_REQUEST,
    IN_FLIGHT,
    KEY_REUSED,
    KINDS,
    OUTCOME_UNKNOWN,
    REPLAY_GONE,
    RETRY_AFTER,
    ProblemError,
    from_core,
    invalid,
    unavailable,
)

if TYPE_CHECKING:
    from configkit_server.call import Call
    from configkit_server.service import Service

REPLAYED = (b"idempotent-replayed", b"true")
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_KEPT_PROBLEMS = (404, 409, 412)
_PROBLEM = "problem:"
_REUSED = "this Idempotency-Key was used for another request; use a new one"
_LOOK = "read what it was about, and if need be send it with a new key"
_UNKNOWN = f"the server ended while it carried the request out: {_LOOK}"
_UNANSWERED = f"a backend did not answer when it was carried out, and may have carried it out all the same: {_LOOK}"


async def carry_out(service: Service, call: Call, store: IdempotencyStore, given: bytes) -> Answer:
    """
    Return the answer to *call*, carrying it out only if its Idempotency-Key is new.

    Raises:
        ProblemError: 400 if the key is empty, 422 if it was used for another request, 409 if the first is still being carried
            out or nobody knows what became of it, 503 if it takes too long (it goes on), and whatever the operation
            itself raises.
    """
    if not given:
        raise ProblemError(BAD_REQUEST, "the header Idempotency-Key is empty: leave it out, or send a key of your own making")
    if not _KEY.fullmatch(given):
        raise invalid("an Idempotency-Key is 1-255 printable ASCII characters without spaces", "")
    key = hashlib.sha256(call.grant.name.encode() + b"\0" + given).hexdigest()
    fingerprint = _fingerprint(call, given)
    known = service.unrecorded.find(key)
    if known is not None:
        if known.fingerprint != fingerprint:
            raise ProblemError(KEY_REUSED, _REUSED)
        if known.outcome is None:
            raise ProblemError(IN_FLIGHT, "try again in a moment", headers=[RETRY_AFTER])
        return await _rebuild(service, call, known.outcome)
    if service.unrecorded.is_full:
        raise unavailable("too many outcomes of earlier requests could not be recorded yet; look at /health")
    call.is_recorded = True
    work = asyncio.create_task(_once(service, call, store, key, fingerprint))
    service.unrecorded.watch(work)
    done, _ = await asyncio.wait({work}, timeout=2 * service.kit.calls.deadline)
    if done:
        return work.result()
    call.is_given_up = True
    raise unavailable("it takes too long; send it again with the same Idempotency-Key to learn what became of it")


async def _once(service: Service, call: Call, store: IdempotencyStore, key: str, fingerprint: str) -> Answer:
    outcome = await _begin(service, store, key, fingerprint)
    if outcome is not None:
        return await _rebuild(service, call, outcome)
    if call.is_given_up:
        await service.unrecorded.keep(store, key, fingerprint, None)
        raise unavailable("nobody waits for it any more")
    # What is raised beside the core's errors leaves the claim unfinished: nobody knows what was done by then.
    try:
        answer = await call.operation.handler(service, call)
    except (ProblemError, ConfigKitError) as error:
        problem = error if isinstance(error, ProblemError) else from_core(error, preconditioned=call.preconditioned)
        await service.unrecorded.keep(store, key, fingerprint, _failure(error, problem))
        raise
    await service.unrecorded.keep(store, key, fingerprint, Outcome(answer.status, answer.subject, answer.version))
    return answer


def _failure(error: Exception, problem: ProblemError) -> Outcome | None:
    """Return what is kept of a request that failed; None: nothing was changed, and it may be tried again."""
    if isinstance(error, UnavailableError) and not error.nothing_changed:
        return Outcome(OUTCOME_UNKNOWN.status, _PROBLEM + OUTCOME_UNKNOWN.slug, None)
    if problem.kind.status in _KEPT_PROBLEMS:
        return Outcome(problem.kind.status, _PROBLEM + problem.kind.slug, problem.extra.get("current_version"))
    return None


async def _begin(service: Service, store: IdempotencyStore, key: str, fingerprint: str) -> Outcome | None:
    try:
        return await service.writes.run_to_end(store.begin, key, fingerprint)
    except InvalidDocumentError:
        raise ProblemError(KEY_REUSED, _REUSED) from None
    except OutcomeUnknownError:
        raise ProblemError(OUTCOME_UNKNOWN, _UNKNOWN) from None
    except ConflictError:
        raise ProblemError(IN_FLIGHT, "try again in a moment", headers=[RETRY_AFTER]) from None


async def _rebuild(service: Service, call: Call, outcome: Outcome) -> Answer:
    replay = call.operation.replay
    if outcome.subject.startswith(_PROBLEM) or replay is None:
        kind = KINDS[outcome.subject.removeprefix(_PROBLEM)]
        extra = {"current_version": outcome.version} if outcome.version is not None else {}
        unknown = kind is OUTCOME_UNKNOWN
        detail = _UNANSWERED if unknown else "so ended the first request with this Idempotency-Key; use a new key to try again"
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
