"""What a server answered, and which error that is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from configkit.errors import AccessDeniedError, ConflictError, InvalidDocumentError, NotFoundError, UnavailableError

BACKEND = "http"
PROBLEMS = "urn:configkit:problem:"
"""How the `type` of every problem document of a configkit server begins."""

NOT_FOUND = PROBLEMS + "not-found"
IN_FLIGHT = PROBLEMS + "in-flight"
_HAPPENED_PERHAPS = (IN_FLIGHT, PROBLEMS + "outcome-unknown", PROBLEMS + "idempotency-replay-gone")
_INVALID = (400, 413, 415, 422)
_CONFLICT = (409, 412)


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """
    One response, read to its end.

    Attributes:
        operation: What was asked, for messages.
        headers: By lower-case name.
    """

    operation: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """Return the JSON object in the body. Raises `UnavailableError` if it is none: then this is no configkit server."""
        document = self._parsed()
        if document is None:
            raise unavailable(self.operation, f"the answer ({self.status}) is no JSON object; is this a configkit server?")
        return document

    def problem(self) -> dict[str, Any] | None:
        """Return the problem document of a configkit server; None: something else answered."""
        media = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        document = self._parsed() if media == "application/problem+json" else None
        return document if document is not None and str(document.get("type", "")).startswith(PROBLEMS) else None

    @property
    def is_in_flight(self) -> bool:
        """Whether an earlier request with the same Idempotency-Key is still being carried out."""
        return self.status == 409 and (self.problem() or {}).get("type") == IN_FLIGHT

    def expect(self, *statuses: int, expected_version: int | None = None) -> Answer:
        """Return self if the status is one of *statuses*; raise what it means otherwise."""
        if self.status not in statuses:
            fail(self, expected_version=expected_version)
        return self

    def _parsed(self) -> dict[str, Any] | None:
        try:
            return json_object(self.body)
        except ValueError:
            return None


def json_object(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object that *text* is. Raises `ValueError` if it is none."""
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  it is the text that is wrong
    return document


def unavailable(operation: str, message: str) -> UnavailableError:
    """Return the error for a server that did not answer, or not as a configkit server."""
    return UnavailableError(message, backend=BACKEND, operation=operation)


def fail(answer: Answer, *, expected_version: int | None = None) -> NoReturn:
    """
    Raise what an answer other than a success means.

    Only a configkit server can say that something is missing, in conflict or invalid: a proxy's 404 is an
    `UnavailableError`. A refusal is one whoever refuses.
    """
    problem = answer.problem()
    detail = _text(answer, problem)
    if answer.status in (401, 403):
        raise AccessDeniedError(detail, backend=BACKEND, operation=answer.operation)
    if problem is not None and problem["type"] not in _HAPPENED_PERHAPS:
        if answer.status == 404 and problem["type"] == NOT_FOUND:
            raise NotFoundError(detail, deleted=problem.get("deleted") is True, version=_whole(problem.get("version")) or 0)
        if answer.status in _CONFLICT:
            raise ConflictError(detail, expected=expected_version, actual=_whole(problem.get("current_version")))
        if answer.status in _INVALID:
            raise _invalid(problem, detail)
    if answer.status == 413:
        raise InvalidDocumentError("too large for the server, or for a proxy before it")
    raise unavailable(answer.operation, detail)


def _text(answer: Answer, problem: dict[str, Any] | None) -> str:
    if problem is None:
        where = "; redirects are not followed: configure the address it leads to" if 300 <= answer.status < 400 else ""
        return f"{answer.operation} was answered {answer.status}, and not by a configkit server{where}"
    return str(problem.get("detail") or problem.get("title") or f"{answer.operation} was answered {answer.status}")[:1000]


def _invalid(problem: dict[str, Any], detail: str) -> InvalidDocumentError:
    errors = problem.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return InvalidDocumentError(str(first.get("detail") or detail)[:1000], pointer=str(first.get("pointer") or "")[:256])


def _whole(number: object) -> int | None:
    return number if type(number) is int else None
