"""
FastAPI: the client lives as long as the application, and requests get it as a dependency.

    pip install fastapi
    python examples/fastapi_app.py --port 8088
    curl 'http://127.0.0.1:8088/greet?user_id=u123'
"""

import argparse
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request

import configkit


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with configkit.connect(service_name="greeter") as kit:
        app.state.kit = kit
        yield


app = FastAPI(lifespan=lifespan)


def the_kit(request: Request) -> configkit.ConfigKit:
    kit: configkit.ConfigKit = request.app.state.kit
    return kit


Kit = Annotated[configkit.ConfigKit, Depends(the_kit)]


@app.get("/greet")
async def greet(kit: Kit, user_id: str) -> dict[str, str]:
    word = "Ahoy" if kit.flags.is_enabled("pirate_greeting", user_id=user_id) else kit.config.get("greeting", default="Hello")
    return {"greeting": f"{word}, {user_id}!"}


@app.get("/peer/{service_name}")
def peer(kit: Kit, service_name: str) -> dict[str, str]:
    """Finding a service for the first time may wait, so that this is no coroutine."""
    try:
        return {"url": kit.services.url(service_name)}
    except configkit.NotFoundError as error:
        raise HTTPException(503, "no instance of that service is healthy") from error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A FastAPI application that uses configkit.")
    parser.add_argument("--port", type=int, default=8088)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning")
