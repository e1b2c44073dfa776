"""The application: the whole API on one client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

from configkit.client import ConfigKit
from configkit.registry.addresses import AddressPolicy
from configkit_server import openapi
from configkit_server.answers import NO_STORE, Answer
from configkit_server.auth import Auth
from configkit_server.bodies import Limits
from configkit_server.call import Call
from configkit_server.middleware import Frame
from configkit_server.operations import Operation
from configkit_server.service import Service
from configkit_server.serving import binds_loopback, ends_streams_on_signals
from configkit_server.table import OPERATIONS

if TYPE_CHECKING:
    from starlette.datastructures import URLPath

    from configkit.registry.checker import Checker


def create_app(
    kit: ConfigKit,
    *,
    auth: Auth,
    limits: Limits | None = None,
    check_interval: float = 30.0,
    addresses: AddressPolicy | None = None,
) -> Starlette:
    """
    Return the API on *kit*, to be served alone or mounted inside another ASGI application.

    A mounted application begins by itself with its first request; where its host can, it should run `running(app)`
    inside its own lifespan. The client stays its owner's to close, after the application has ended.

    Args:
        auth: Decides who a caller is: `TokenAuth(kit.backends.tokens)`, or the host's own rule. There is no default.
        limits: What one request may cost.
        check_interval: Seconds between two health checks of a registered instance.
        addresses: Which addresses health checks may call; by default loopback only where the server is bound to it.
    """

    def make_checker() -> Checker | None:
        from configkit.registry.checker import Checker  # noqa: PLC0415  only a server that checks needs it

        policy = addresses if addresses is not None else AddressPolicy(loopback=binds_loopback())
        records = kit.backends.records
        return None if records is None else Checker(records, kit.backends.registry, interval=check_interval, policy=policy)

    service = Service(kit, auth, limits or Limits(), make_checker)
    operations = [*OPERATIONS, _describe_operation(kit)]
    app = _Api(Frame(service, operations), _lifespan_of(service))
    app.state.configkit = service
    return app


def operations_of(app: Starlette) -> Iterable[Operation]:
    """Return the table of operations that *app* serves."""
    return [operation for route in app.routes if isinstance(route, _Everything) for operation in route.frame.operations]


@asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[None]:
    """Run the background parts of *app* inside the block; for an application that is mounted in another."""
    service: Service = app.state.configkit
    await service.start()
    try:
        yield
    finally:
        await service.stop()


def _lifespan_of(service: Service) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with ends_streams_on_signals(service.drain):
            async with running(app):
                yield

    return lifespan


class _Api(Starlette):
    """The application: its frame answers everything, errors too, so that no layer of Starlette's stands before it."""

    def __init__(self, frame: Frame, lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]]) -> None:
        super().__init__(routes=[_Everything(frame)], lifespan=lifespan)
        self._frame = frame

    def build_middleware_stack(self) -> ASGIApp:
        """Return what answers requests: the frame, or Starlette's layers where somebody has added to them."""
        extended = self.user_middleware or self.exception_handlers or len(self.routes) > 1
        return super().build_middleware_stack() if extended else self._dispatch

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._frame if scope["type"] == "http" else self.router)(scope, receive, send)


class _Everything(BaseRoute):
    """The one route: everything is matched by the raw path, which Starlette's own routes have no part in."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if scope["type"] == "http" else Match.NONE), {}

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, dict(path_params))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.frame(scope, receive, send)


def _describe_operation(kit: ConfigKit) -> Operation:
    body: list[bytes] = []

    async def describe(service: Service, call: Call) -> Answer:  # noqa: ARG001  every handler is called alike
        if not body:
            described = openapi.document([*OPERATIONS, operation], environments=kit.environments, version=version("configkit"))
            body.append(to_json(described))
        return Answer(200, body[0], [NO_STORE])

    operation = Operation("GET", "/openapi.json", "openapi", "This document.", describe, {200: None})
    return operation
