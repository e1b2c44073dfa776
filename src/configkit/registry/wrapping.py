"""What can be registered while it runs: functions, ASGI applications, and their lifespan functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import Any, Protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Presence(AbstractContextManager[Any], AbstractAsyncContextManager[Any], Protocol):
    """Registered inside the block."""

    def enter_soon(self) -> None:
        """Begin to register once the process accepts connections; waits for nothing."""


def wrap(target: Any, presence: Presence) -> Any:
    """
    Return *target* so that the process is registered while it runs.

    - an ASGI application: from the end of its start-up to the beginning of its shut-down;
    - a lifespan function of Starlette or FastAPI, under ``@asynccontextmanager`` or not: the same;
    - a function, ``async`` or not: from its call to its end, however it ends.

    Raises:
        TypeError: It is none of these.
    """
    if inspect.isclass(target) or not callable(target):
        raise TypeError("register a function, an ASGI application or a lifespan function, not a class or a value")
    if _is_asgi(target):
        return RegisteredApp(target, presence)
    if inspect.isasyncgenfunction(target):
        return _lifespan(asynccontextmanager(target), presence)
    if inspect.isasyncgenfunction(getattr(target, "__wrapped__", None)):
        return _lifespan(target, presence)
    if inspect.isgeneratorfunction(inspect.unwrap(target)):
        raise TypeError("a generator has no run of its own; use `with kit.register(...):` inside it")
    return _async_function(target, presence) if inspect.iscoroutinefunction(target) else _function(target, presence)


def _is_asgi(target: Any) -> bool:
    """Return whether *target* is an ASGI 3 application: an object that is awaited, or a function that names its arguments so."""
    if not (inspect.isroutine(target) or isinstance(target, functools.partial)):
        return inspect.iscoroutinefunction(target.__call__)
    names = [name.lstrip("_") for name in inspect.signature(target).parameters] if inspect.iscoroutinefunction(target) else []
    return names == ["scope", "receive", "send"]


class RegisteredApp:
    """
    An ASGI application (version 3) whose process is registered between the end of its start-up and its shut-down.

    Every attribute but the call is the application's own.
    """

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]], presence: Presence) -> None:
        self._app = app
        self._presence = presence

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass everything on to the application."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        entered = False

        async def leave() -> None:
            nonlocal entered
            if entered:
                entered = False
                await self._presence.__aexit__(None, None, None)

        async def sending(message: Message) -> None:
            nonlocal entered
            await send(message)
            if message["type"] == "lifespan.startup.complete" and not entered:
                entered = True
                self._presence.enter_soon()

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await leave()
            return message

        try:
            await self._app(scope, receiving, sending)
        finally:
            await leave()


def _lifespan(
    function: Callable[..., AbstractAsyncContextManager[Any]], presence: Presence
) -> Callable[..., AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    @functools.wraps(function)
    async def registered(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async with function(*args, **kwargs) as state:
            presence.enter_soon()
            try:
                yield state
            finally:
                await presence.__aexit__(None, None, None)

    return registered


def _async_function(function: Callable[..., Awaitable[Any]], presence: Presence) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(function)
    async def registered(*args: Any, **kwargs: Any) -> Any:
        async with presence:
            return await function(*args, **kwargs)

    return registered


def _function(function: Callable[..., Any], presence: Presence) -> Callable[..., Any]:
    @functools.wraps(function)
    def registered(*args: Any, **kwargs: Any) -> Any:
        with presence:
            result = function(*args, **kwargs)
        return _while_awaited(result, presence) if inspect.iscoroutine(result) else result

    return registered


async def _while_awaited(result: Awaitable[Any], presence: Presence) -> Any:
    """Run what a plain function that wraps an ``async`` one returned."""
    async with presence:
        return await result
