"""``configkit serve``: the REST server."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Any

import typer

from configkit.cli.commands import command
from configkit.cli.exits import INTERRUPTED, OK
from configkit.cli.opening import Session
from configkit.client import ConfigKit
from configkit.errors import InvalidDocumentError, MissingExtraError, UnavailableError
from configkit.settings import Settings
from configkit.wiring import database_file


class LogLevel(StrEnum):
    """How much the server logs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def add_to(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "serve", without=("url", "service", "json"))(serve)


def serve(
    session: Session,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Where to listen; 127.0.0.1 unless CONFIGKIT_HOST says otherwise."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="8082 unless CONFIGKIT_PORT says otherwise; 0 takes a free one."),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option("--log-level", help="How much to log.")] = LogLevel.INFO,
) -> None:
    """
    Serve the REST API until SIGTERM or Ctrl-C.

    Without credentials (`configkit token create NAME --scope admin`, or CONFIGKIT_TOKEN) it serves this machine only.
    """
    settings = session.settings
    address = host or settings.host
    if settings.mode == "remote" or (settings.url and settings.mode is None):
        raise InvalidDocumentError("a server has its own data: unset CONFIGKIT_URL and CONFIGKIT_MODE, or pass --mode embedded")
    serving = _server_extra()
    with _signals_noted() as noted, session.kit(serves=True) as kit:
        _check_credentials(kit, settings, address)
        with _bound(address, settings.port if port is None else port) as listener:
            _describe(kit, settings, address)
            serving.main.log_to_stderr()
            logging.getLogger("configkit").setLevel(log_level.upper())
            application = serving.main.app_of(kit, settings, loopback=is_loopback(address))
            serving.run(application, listener, address, lambda: bool(noted))
    raise typer.Exit(INTERRUPTED if signal.SIGINT in noted else OK)


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches what is bound to *address*."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _server_extra() -> Any:
    try:
        from configkit.cli import uvicorn_server  # noqa: PLC0415  the extra is needed by this command alone
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in {"configkit", "configkit_server"}:
            raise
        raise MissingExtraError("server", "configkit serve") from None
    return uvicorn_server


def _check_credentials(kit: ConfigKit, settings: Settings, address: str) -> None:
    if is_loopback(address) or settings.token is not None:
        return
    if kit.backends.tokens is not None and kit.calls.run(kit.backends.tokens.all):
        return
    raise InvalidDocumentError(
        f"other machines reach {address}, and no credentials are configured: create a token with "
        "`configkit token create NAME --scope admin`, or set CONFIGKIT_TOKEN; or stay with --host 127.0.0.1"
    )


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        why = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise UnavailableError(f"port {port} of {host} {why}; --port chooses another", backend="server", operation="bind") from None


def _describe(kit: ConfigKit, settings: Settings, address: str) -> None:
    place = f", in {database_file(settings, explicit=True).removeprefix('sqlite:///')}" if kit.backends.mode == "embedded" else ""
    reach = "this machine only" if is_loopback(address) else "other machines too"
    try:
        has_tokens = settings.token is not None or bool(kit.backends.tokens and kit.calls.run(kit.backends.tokens.all))
        need = "with a token" if has_tokens else "without credentials, since none are configured"
    except UnavailableError:
        need = "once it can be read whether credentials are configured"
    sys.stdout.write(f"mode {kit.backends.mode}{place}\nopen to {reach}, {need}\n")
    sys.stdout.flush()


@contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """Collect what uvicorn raises again after its own orderly end, so that the client's end is orderly too."""
    noted: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda received, _frame: noted.append(received))
    try:
        yield noted
    finally:
        for number, action in before.items():
            signal.signal(number, action)
