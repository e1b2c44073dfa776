"""
A speech recognition service: registered while it runs, configured by a model that follows the configuration, and with a
flag that decides in each request.

    python examples/asr_service.py --port 8087
    curl 'http://127.0.0.1:8087/transcribe?user_id=u123'

It runs on this machine's own file, or with CONFIGKIT_URL on a configkit server.
"""

import argparse
import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

import configkit


class AsrSettings(BaseModel):
    """The keys of this service, with what holds until somebody sets them."""

    model_path: str = "/models/base"
    beam_size: int = Field(5, ge=1, le=100)


def create_app(kit: configkit.ConfigKit, url: str) -> Starlette:
    settings = kit.config.bind(AsrSettings)

    async def transcribe(request: Request) -> JSONResponse:
        new_ui = kit.flags.is_enabled("new_ui", user_id=request.query_params.get("user_id"))
        return JSONResponse({"model": settings.model_path, "beam_size": settings.beam_size, "new_ui": new_ui})

    async def current(_: Request) -> JSONResponse:
        return JSONResponse(configkit.current(settings).model_dump())

    async def health(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    @kit.register(url=url, health_check_url=f"{url}/health")
    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield

    routes = [Route("/transcribe", transcribe), Route("/settings", current), Route("/health", health)]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    parser = argparse.ArgumentParser(description="A speech recognition service that uses configkit.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--name", default="asr-service", help="the service's name")
    given = parser.parse_args()

    with socket.create_server(("127.0.0.1", given.port)) as listener, configkit.connect(service_name=given.name) as kit:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(create_app(kit, url), log_level="warning"))
        print(f"asr-service listens on {url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


if __name__ == "__main__":
    main()
