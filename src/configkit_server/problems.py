"""
Problem documents (RFC 9457): every answer that is an error.

A document names the kind of the problem by a stable ``type``, the rule that was broken and the remedy. It never
contains what the caller sent: input may be a secret in the wrong place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from configkit.errors import (
    AccessDeniedError,
    ClosedError,
    ConfigKitError,
    ConflictError,
    InvalidDocumentError,
    MasterKeyError,
    NoInstanceError,
    NotFoundError,
    UnavailableError,
)
from configkit_server.answers import Answer
from configkit_server.pointers import pointer_to

CONTENT_TYPE = b"application/problem+json"
RETRY_AFTER = (b"retry-after", b"1")
CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: its stable name, its status and its title."""

    slug: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The stable URN that names this kind."""
        return f"urn:configkit:problem:{self.slug}"


MALFORMED_JSON = Kind("malformed-json", 400, "The body is not well-formed JSON")
BAD_REQUEST = Kind("bad-request", 400, "The request cannot be understood")
UNAUTHENTICATED = Kind("unauthenticated", 401, "Credentials are missing or not valid")
FORBIDDEN = Kind("forbidden", 403, "These credentials do not reach this far")
CREDENTIALS_REQUIRED = Kind("credentials-required", 403, "Without credentials only local requests are served")
NOT_FOUND = Kind("not-found", 404, "There is nothing here")
NO_SUCH_PATH = Kind("no-such-path", 404, "The server has no such path")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The path does not answer this method")
SLOW_HEADERS = Kind("slow-headers", 408, "The request did not arrive in time")
SLOW_BODY = Kind("slow-body", 408, "The body did not arrive in time")
CONFLICT = Kind("conflict", 409, "The state of the resource forbids it")
IN_FLIGHT = Kind("in-flight", 409, "The first request with this key is still being carried out")
OUTCOME_UNKNOWN = Kind("outcome-unknown", 409, "What became of the first request is not known")
REPLAY_GONE = Kind("idempotency-replay-gone", 409, "The request was carried out, and its result is gone since")
PRECONDITION_FAILED = Kind("precondition-failed", 412, "The resource has another version")
TOO_LARGE = Kind("too-large", 413, "The request is too large")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported-media-type", 415, "The body's type or coding is not supported")
INVALID = Kind("invalid", 422, "The request breaks a rule")
KEY_REUSED = Kind("idempotency-key-reused", 422, "The key was used for another request")
TOO_MANY_REQUESTS = Kind("too-many-requests", 429, "Too many requests")
HEADERS_TOO_LARGE = Kind("headers-too-large", 431, "The request's head is too large")
INTERNAL = Kind("internal", 500, "Something went wrong here")
UNAVAILABLE = Kind("unavailable", 503, "A backend did not answer")
MASTER_KEY = Kind("master-key", 503, "Secrets cannot be decrypted")
NO_INSTANCE = Kind("no-healthy-instance", 503, "No instance of the service is healthy")
TOO_MANY_CONNECTIONS = Kind("too-many-connections", 503, "Too many connections are open")
NOT_READY = Kind("not-ready", 503, "The server is not ready")
REGISTRY_DISABLED = Kind("registry-disabled", 503, "The service registry is switched off")

KINDS: Mapping[str, Kind] = {
    kind.slug: kind
    for kind in (
        MALFORMED_JSON, BAD_REQUEST, UNAUTHENTICATED, FORBIDDEN, CREDENTIALS_REQUIRED, NOT_FOUND, NO_SUCH_PATH, METHOD_NOT_ALLOWED,
        SLOW_HEADERS, SLOW_BODY, CONFLICT, IN_FLIGHT, OUTCOME_UNKNOWN, REPLAY_GONE, PRECONDITION_FAILED, TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE, INVALID, KEY_REUSED, TOO_MANY_REQUESTS, HEADERS_TOO_LARGE, INTERNAL, UNAVAILABLE, MASTER_KEY,
        NO_INSTANCE, TOO_MANY_CONNECTIONS, NOT_READY, REGISTRY_DISABLED,
    )
}  # fmt: skip


class ProblemError(Exception):
    """
    A request ends with this problem.

    Attributes:
        errors: (detail, JSON pointer) for each rule that the input breaks.
        headers: Further headers of the answer.
        extra: Further members of the document, such as ``current_version``.
        linger: The rest of the body is read for a moment, so that the caller sees this answer.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
        extra: Mapping[str, Any] | None = None,
        linger: bool = False,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = tuple(headers)
        self.extra = dict(extra or {})
        self.linger = linger

    def answer(self, request_id: str) -> Answer:
        """Return the problem as an answer to the request of that id."""
        document: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": f"urn:configkit:request:{request_id}",
            **self.extra,
        }
        if self.errors:
            document["errors"] = [{"detail": detail, "pointer": pointer} for detail, pointer in self.errors]
        headers = [(b"cache-control", b"no-store"), *self.headers]
        return Answer(self.kind.status, to_json(document), headers, content_type=CONTENT_TYPE, linger=self.linger)


def invalid(detail: str, pointer: str) -> ProblemError:
    """Return the problem of input that breaks one rule."""
    return ProblemError(INVALID, detail, errors=[(detail, pointer)])


def unavailable(detail: str, kind: Kind = UNAVAILABLE) -> ProblemError:
    """Return the problem of something that may be there again in a moment."""
    return ProblemError(kind, detail, headers=[RETRY_AFTER])


def from_core(error: ConfigKitError, *, preconditioned: bool = False) -> ProblemError:
    """
    Return the problem that *error* of the core is to the caller.

    Args:
        preconditioned: The caller named a version, so that a conflict is a failed precondition.
    """
    if isinstance(error, ConflictError):
        # A conflict at the very version that was asked for is about something else: a foreign secret to be adopted.
        kind = PRECONDITION_FAILED if preconditioned and error.actual != error.expected else CONFLICT
        return ProblemError(kind, str(error), extra={"current_version": error.actual})
    if isinstance(error, InvalidDocumentError):
        return invalid(error.detail, error.pointer)
    if isinstance(error, NoInstanceError):
        return unavailable(str(error), NO_INSTANCE)
    if isinstance(error, NotFoundError):
        extra = {"deleted": True, "version": error.version} if error.deleted else {}
        return ProblemError(NOT_FOUND, str(error), extra=extra)
    if isinstance(error, AccessDeniedError):
        if error.backend not in _DENIES_PATHS:
            return unavailable(f"{error.backend} refuses this server's own credentials: its operator has to mend that")
        return ProblemError(FORBIDDEN, "the backend refused this server's credentials, or they do not reach this far")
    if isinstance(error, MasterKeyError):
        return ProblemError(MASTER_KEY, _MASTER_KEY_REMEDY)
    if isinstance(error, UnavailableError):
        return unavailable(str(error))
    if isinstance(error, ClosedError):
        return unavailable("the server is shutting down; try another one")
    return ProblemError(INTERNAL, "the server's log has the details under this request id")


_DENIES_PATHS = ("vault", "http")
"""Backends whose policies are about what is asked for; others deny everything, which is no caller's fault."""
# What the error itself says may name a file of the server: that is for its log.
_MASTER_KEY_REMEDY = (
    "start the server with the master key that the secrets were written with (CONFIGKIT_MASTER_KEY, or the key file); "
    "if it has that one, the secret is damaged: restore it from a copy. The server's log says which"
)
_PHRASES = {
    "missing": "required",
    "extra_forbidden": "unknown field",
    "invalid": None,
}


def from_validation(error: ValidationError) -> ProblemError:
    """Return the problem of a body that its model refuses, without anything of what was sent."""
    errors = []
    for item in error.errors(include_url=False, include_context=False, include_input=False)[:20]:
        detail = _PHRASES.get(item["type"]) or item["msg"]
        errors.append((detail, pointer_to(item["loc"])))
    return ProblemError(INVALID, "the body breaks a rule; see errors", errors=errors)
