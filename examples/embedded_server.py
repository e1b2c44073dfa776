"""
The REST API inside an application of your own: one process, one client, no server beside it.

    python examples/embedded_server.py --port 8089
    curl http://127.0.0.1:8089/
    curl -X PUT 'http://127.0.0.1:8089/configkit/api/v1/config/greeting?environment=development&service_name=shop' \
        -H 'Content-Type: application/json' -d '{"value": "Welcome back"}'
"""

import argparse
import contextlib
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import configkit
from configkit_server.app import create_app, running
from configkit_server.auth import TokenAuth


def create_shop(kit: configkit.ConfigKit) -> Starlette:
    # Tokens as `configkit token create NAME --scope admin` makes them; before the first one, only requests from this machine.
    api = create_app(kit, auth=TokenAuth(kit.backends.tokens))

    async def home(_: Request) -> PlainTextResponse:
        return PlainTextResponse(kit.config.get("greeting", default="Welcome"))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with running(api):
            yield

    return Starlette(routes=[Route("/", home), Mount("/configkit", api)], lifespan=lifespan)


def main() -> None:
    parser = argparse.ArgumentParser(description="A shop with configkit's REST API under /configkit.")
    parser.add_argument("--port", type=int, default=8089)
    port = parser.parse_args().port
    with configkit.connect(service_name="shop", mode="embedded") as kit:
        kit.config.set("greeting", "Welcome")
        uvicorn.run(create_shop(kit), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
