"""The floor of HTTP: Starlette endpoints that parse the same JSON and answer a constant of the same size."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CONFIG = {
    "key": "model_path",
    "value": "/models/asr",
    "environment": "development",
    "service_name": "asr-service",
    "is_encrypted": False,
    "masked": False,
    "version": 1,
    "created_at": "2026-01-01T00:00:00.000000Z",
    "updated_at": "2026-01-01T00:00:00.000000Z",
    "changed_by": "loopback",
    "comment": None,
    "ever_secret": False,
}
EVALUATION = {
    "flag_name": "new_ui",
    "environment": "development",
    "enabled": False,
    "value": False,
    "variant": "off",
    "reason": "SPLIT",
    "version": 1,
}


async def read(request: Request) -> JSONResponse:  # noqa: ARG001  an endpoint's signature
    return JSONResponse(CONFIG)


async def evaluate(request: Request) -> JSONResponse:
    await request.json()
    return JSONResponse(EVALUATION)


app = Starlette(routes=[Route("/constant", read), Route("/constant", evaluate, methods=["POST"])])


def _of_size() -> Starlette:
    content = b"x" * int(os.environ.get("BENCHMARK_BYTES", "100"))

    async def constant(request: Request) -> Response:  # noqa: ARG001  an endpoint's signature
        return Response(content, media_type="application/json")

    return Starlette(routes=[Route("/", constant, methods=["POST"])])


of_size = _of_size()
"""Answers a constant of as many bytes as the environment says, and does not even read what it is sent."""
