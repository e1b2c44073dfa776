"""The frame around every request: its id, its answer, its measure and its line in the log."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
import traceback
from collections.abc import Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from configkit import chance
from configkit.errors import ConfigKitError
from configkit_server import idempotency
from configkit_server.answers import Answer
from configkit_server.bodies import read_body
from configkit_server.call import Call
from configkit_server.operations import Operation
from configkit_server.problems import BAD_REQUEST, FORBIDDEN, INTERNAL, ProblemError, from_core
from configkit_server.router import Router, raw_path
from configkit_server.service import Service

access = logging.getLogger("configkit.access")
logger = logging.getLogger("configkit.server")

UNMATCHED = "unmatched"
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SANE_METHOD = re.compile(r"[A-Z]{1,16}")
_UNSAFE = re.compile(r"[^!-~]")
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 16 * 1024 * 1024
_NO_BODY = frozenset({204, 304})
_SINGLE = (b"host", b"authorization", b"origin", b"content-type", b"idempotency-key")
"""Headers that mean something else to a proxy that takes the first of two than to a server that takes the last."""


class Frame:
    """The ASGI application that finds an operation, lets it run, and sends what it answers."""

    def __init__(self, service: Service, operations: Sequence[Operation]) -> None:
        self._service = service
        self._router = Router(operations)
        self.operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        request_id = given.decode() if given is not None and _SANE_ID.fullmatch(given) else f"{chance.bits(64):016x}"
        call = Call(scope, receive, headers, request_id, self._service.kit.environments, self._service.parsing)
        answer = await self._answer(call)
        try:
            await _send(answer, call, receive, send)
        finally:
            seconds = time.perf_counter() - started
            operation = getattr(call, "operation", None)
            route = UNMATCHED if operation is None else operation.path
            method = scope["method"]
            self._service.metrics.observe(method, route, answer.status, seconds)
            if access.isEnabledFor(logging.INFO):
                shown = method if _SANE_METHOD.fullmatch(method) else "other"
                access.info("%s %s %s %s %d %.1fms", request_id, call.caller, shown, route, answer.status, seconds * 1000)

    async def _answer(self, call: Call) -> Answer:
        try:
            return await self._perform(call)
        except ProblemError as refused:
            return refused.answer(call.request_id)
        except ConfigKitError as error:
            problem = from_core(error, preconditioned=call.preconditioned)
            if problem.kind is INTERNAL or problem.kind.status == 503:
                logger.warning("%s %s: %s", call.request_id, type(error).__name__, error)
            return problem.answer(call.request_id)
        except Exception as error:  # noqa: BLE001  the caller gets a 500, the log the place
            logger.error("%s failed: %s", call.request_id, _place(error))  # noqa: TRY400  its text may hold a value
            return ProblemError(INTERNAL, "the server's log has the details under this request id").answer(call.request_id)

    async def _perform(self, call: Call) -> Answer:
        service, scope, headers = self._service, call.scope, call.headers
        if not service.started:
            await service.start()
        began = time.monotonic()
        if len(headers) != len(scope["headers"]):
            _check_single(scope["headers"])
        method = scope["method"]
        operation, call.segments = self._router.find("GET" if method == "HEAD" else method, raw_path(scope))
        call.operation = operation
        if not operation.is_open:
            call.grant = await service.auth.authenticate(scope, headers)
            call.caller = _UNSAFE.sub("?", call.grant.name)[:255] or "-"
            if operation.scope is not None and not call.grant.allows(operation.scope):
                detail = f"this needs the scope {operation.scope}"
                raise ProblemError(FORBIDDEN, detail, extra={"required_scope": operation.scope})
        call.query = operation.query.read(scope["query_string"])
        spent = time.monotonic() - began
        if operation.body is not None:
            call.body = await read_body(call.receive, headers, service.limits)
        service.executor.begin_request(spent=spent)
        if operation.replay is not None and (key := headers.get(b"idempotency-key")) is not None:
            store = service.kit.backends.idempotency
            if store is not None:
                return await idempotency.carry_out(service, call, store, key)
        return await operation.handler(service, call)


def _check_single(headers: Sequence[tuple[bytes, bytes]]) -> None:
    given = [name for name, _ in headers]
    for name in _SINGLE:
        if given.count(name) > 1:
            raise ProblemError(BAD_REQUEST, f"the header {name.decode()} was sent more than once")


async def _send(answer: Answer, call: Call, receive: Receive, send: Send) -> None:
    request_id = (b"x-request-id", call.request_id.encode())
    if answer.stream is not None:
        await answer.stream(receive, _with_header(send, request_id))
        return
    headers = [request_id, *answer.headers]
    if answer.status not in _NO_BODY:
        headers.append((b"content-type", answer.content_type))
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    body = b"" if call.scope["method"] == "HEAD" else answer.body
    if answer.linger:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await _discard(receive)
        body = b""
    await send({"type": "http.response.body", "body": body})


def _with_header(send: Send, header: tuple[bytes, bytes]) -> Send:
    async def send_with_header(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [header, *message["headers"]]
        await send(message)

    return send_with_header


async def _discard(receive: Receive) -> None:
    """Read on for a moment: closing a connection with unread data resets it, and the caller would not see its answer."""
    left = _LINGER_BYTES
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _place(error: BaseException) -> str:
    """Return what was raised and where, without the texts of errors and the lines of code: both may hold a value."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames))  # noqa: PTH119
    return f"{type(error).__name__} at {where}"
