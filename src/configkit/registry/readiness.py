"""When a process that registers itself is ready to be called."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

_CONNECT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Readiness:
    """
    When to register.

    Attributes:
        check: Asked ten times a second; what it raises counts as no.
        patience: Register after so many seconds in any case; None: never before *check* says so.
    """

    check: Callable[[], bool]
    patience: float | None = None


def accepts_connections(url: str) -> bool:
    """
    Return whether the host and port of *url* accept connections: an ASGI server ends an application's start-up before
    it listens. True where the host is a name: looking it up may take longer than the server does.
    """
    from configkit.registry.addresses import is_localhost, literal  # noqa: PLC0415  only where something is registered

    parts = urlsplit(url)
    host = parts.hostname or ""
    if not is_localhost(host) and literal(host) is None:
        return True
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def answers_well(url: str) -> bool:
    """Return whether a GET of *url* answers 2xx within 2 s."""
    from configkit.registry.addresses import AddressPolicy  # noqa: PLC0415  it brings an HTTP client
    from configkit.registry.probe import probe  # noqa: PLC0415
    from configkit.registry.resolver import Resolver  # noqa: PLC0415

    resolver = Resolver(AddressPolicy(loopback=True), workers=1)
    try:
        return probe("", url, resolver).healthy
    finally:
        resolver.close()
