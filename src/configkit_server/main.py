"""What ``uvicorn configkit_server.main:app --port 8082`` serves, configured by the environment."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from configkit.client import ConfigKit
from configkit.registry.addresses import AddressPolicy, networks
from configkit.settings import Settings
from configkit.wiring import open_kit, read_settings
from configkit_server.app import create_app
from configkit_server.auth import TokenAuth
from configkit_server.bodies import Limits
from configkit_server.serving import binds_loopback


def app_of(kit: ConfigKit, settings: Settings, *, loopback: bool | None = None) -> Starlette:
    """
    Return the application on *kit* as *settings* say.

    Args:
        loopback: Whether the server is bound to loopback only, so that health checks may call loopback; None: find out.
    """
    bound = binds_loopback() if loopback is None else loopback
    return create_app(
        kit,
        auth=TokenAuth(kit.backends.tokens, extra=settings.token.get_secret_value() if settings.token else None),
        check_interval=settings.service_health_check_interval,
        limits=Limits(ofrep_per_second=settings.ofrep_per_second),
        addresses=AddressPolicy(loopback=bound, denied=networks(settings.health_check_denied_networks)),
    )


class _LazyApp:
    """The application, made when the server starts, so that importing this module opens nothing."""

    def __init__(self) -> None:
        self._app: Starlette | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            if scope["type"] != "lifespan":
                raise RuntimeError("the server must support ASGI's lifespan")
            settings = read_settings()
            log_to_stderr()
            kit = open_kit(settings, explicit=True, serves=True)
            self._app = app_of(kit, settings)
            _close_with(self._app, kit)
        await self._app(scope, receive, send)


def _close_with(app: Starlette, kit: ConfigKit) -> None:
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(given: Any) -> AsyncIterator[Any]:
        try:
            async with inner(given) as state:
                yield state
        finally:
            kit.close()

    app.router.lifespan_context = lifespan


def log_to_stderr() -> None:
    """
    Log what the application has to say, unless the process has arranged that already.

    Uvicorn's own access lines are switched off: they show query strings.
    """
    uvicorn_access = logging.getLogger("uvicorn.access")
    uvicorn_access.handlers.clear()
    uvicorn_access.propagate = False
    uvicorn_access.disabled = True
    ours = logging.getLogger("configkit")
    if not ours.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)
        _find_out_little()


def _find_out_little() -> None:
    """Spare each line what none shows, as Python's documentation of logging has it under "Optimization"."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001


class _Formatter(logging.Formatter):
    """Works out the time of day once a second: there is a line for each request."""

    _second = -1
    _shown = ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  the base class's name
        """Return the time of *record*, to the millisecond."""
        second = int(record.created)
        if second != self._second:
            self._shown = time.strftime(datefmt or self.default_time_format, self.converter(second))
            self._second = second
        return f"{self._shown},{record.msecs:03.0f}"


app = _LazyApp()
