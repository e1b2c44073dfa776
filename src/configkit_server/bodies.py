"""
Reading request bodies: bounded in size and time, and strict about what JSON is.

The standard parser accepts NaN, repeated keys, lone surrogates and integers of any length; each of those means
something else to the next reader, so that each is refused here.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive

from configkit.values import MAX_DIGITS
from configkit_server.begun import Begun
from configkit_server.problems import (
    BAD_REQUEST,
    CLOSE,
    INVALID,
    MALFORMED_JSON,
    SLOW_BODY,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What one request may cost.

    Attributes:
        body_bytes: The largest body, in bytes.
        body_seconds: How long a body may take to arrive, in seconds.
        ofrep_per_second: Requests of OpenFeature's remote evaluation from one caller, twice as many at once; None: any number.
    """

    body_bytes: int = 1024 * 1024
    body_seconds: float = 10.0
    ofrep_per_second: float | None = None


MAX_BULK = 500

_JSON_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})


def check_headers(headers: Mapping[bytes, bytes], limits: Limits) -> None:
    """
    Refuse a body by its headers alone.

    Raises:
        ProblemError: 415 for another type or a content coding, 413 for an announced size beyond the limit.
    """
    content_type = headers.get(b"content-type", b"")
    if content_type not in _JSON_TYPES and content_type.strip().lower().replace(b'"', b"").replace(b" ", b"") not in _JSON_TYPES:
        raise _refuse(UNSUPPORTED_MEDIA_TYPE, "send the body as Content-Type: application/json, in UTF-8")
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise _refuse(UNSUPPORTED_MEDIA_TYPE, "send the body without Content-Encoding")
    length = headers.get(b"content-length")
    if length is not None and (len(length) > 18 or int(length) > limits.body_bytes):
        raise _too_large(limits)


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limits: Limits) -> bytes:
    """
    Return the whole body.

    Raises:
        ProblemError: As `check_headers`; 413 as soon as it grows beyond the limit; 408 if it takes too long; 400 if
            the caller went away in the middle.
    """
    check_headers(headers, limits)
    begun = Begun(receive())
    try:
        if begun.is_done and not begun.result.get("more_body", False) and begun.result["type"] == "http.request":
            body: bytes = begun.result.get("body", b"")
            if len(body) > limits.body_bytes:
                raise _too_large(limits)
            return body
        async with asyncio.timeout(limits.body_seconds):
            return await _read_rest(receive, await begun, limits)
    except TimeoutError:
        raise ProblemError(SLOW_BODY, f"send the whole body within {limits.body_seconds:g} s", headers=[CLOSE]) from None


async def _read_rest(receive: Receive, message: Mapping[str, Any], limits: Limits) -> bytes:
    body = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise ProblemError(BAD_REQUEST, "the connection ended before the body did")
        body += message.get("body", b"")
        if len(body) > limits.body_bytes:
            raise _too_large(limits)
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()


def _too_large(limits: Limits) -> ProblemError:
    return _refuse(TOO_LARGE, f"a body is at most {limits.body_bytes} bytes")


def _refuse(kind: Any, detail: str) -> ProblemError:
    return ProblemError(kind, detail, headers=[CLOSE], linger=True)


def parse_object(body: bytes) -> dict[str, Any]:
    """
    Return the JSON object that *body* is.

    Raises:
        ProblemError: 400 if it is not well-formed JSON in UTF-8, 422 if it is something other than an object.
    """
    try:
        document = _DECODER.decode(body.decode())
        if b"\\u" in body:
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise _malformed("the body is not UTF-8") from None
    except UnicodeEncodeError:
        raise _malformed("a text contains a lone surrogate") from None
    except _RefusedError as refusal:
        raise _malformed(str(refusal)) from None
    except RecursionError:
        raise _malformed("the body is nested too deeply") from None
    except ValueError as error:
        where = f" at position {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise _malformed(f"the body is not JSON{where}") from None
    if type(document) is not dict:
        raise ProblemError(INVALID, "the body must be a JSON object", errors=[("an object", "")])
    return document


def check_bulk_size(names: object, what: str) -> None:
    """Refuse more than 500 names at once. Raises `ProblemError` 413."""
    if isinstance(names, list) and len(names) > MAX_BULK:
        raise ProblemError(TOO_LARGE, f"at most {MAX_BULK} {what} at once; ask in parts")


def _malformed(detail: str) -> ProblemError:
    return ProblemError(MALFORMED_JSON, detail)


class _RefusedError(Exception):
    """The text is what the standard parser would accept and nobody else should."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _RefusedError("an object has a key twice")
    return document


def _constant(_: str) -> Any:
    raise _RefusedError("NaN and Infinity are not JSON")


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise _RefusedError(f"an integer has more than {MAX_DIGITS} digits; send it as a string")
    return int(digits)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _RefusedError("a number is too large; send it as a string")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer, parse_float=_float)
