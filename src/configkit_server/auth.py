"""
Who may do what.

With credentials configured, a request needs a bearer token. Without any, only a request that plainly comes from this
machine is served, decided for each request: the peer's address is loopback, the Host names loopback (another name that
resolves to it is a DNS rebinding), a browser's Origin is loopback too, and no proxy stands between.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import urlsplit

from starlette.types import Scope as AsgiScope

from configkit import tokens
from configkit.errors import BackendError, ConfigKitError
from configkit.models import AccessChanged, Event, Resync
from configkit.names import SHARED
from configkit.ports import SCOPES, Scope, Token, TokenStore
from configkit_server.executor import Executor
from configkit_server.problems import CREDENTIALS_REQUIRED, UNAUTHENTICATED, ProblemError, unavailable

logger = logging.getLogger("configkit.auth")

REFRESH_SECONDS = 5.0
PATIENCE_SECONDS = 0.25
"""How often unknown tokens can make the server read them all again."""
WAIT_SECONDS, WAIT_WHEN_TOLD_SECONDS = 0.1, 1.0
"""How long a request waits for the tokens to be read again: after a while, and when they are said to have changed."""
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via")
_CHALLENGE = ((b"www-authenticate", b'Bearer realm="configkit"'),)
_REMEDY = "create a token on the server with `configkit token create NAME --scope admin` and send it as Authorization: Bearer"
_OPEN = "no credentials are configured: only requests from this machine are served, with every scope; %s"
_CLOSED = "credentials are configured from now on: every request needs a token"


@dataclass(frozen=True, slots=True)
class Grant:
    """
    What a caller may do.

    Attributes:
        environments: Limits every scope to these; None: all.
        services: Limits every scope to these; None: all.
    """

    name: str
    scopes: frozenset[Scope]
    environments: frozenset[str] | None = None
    services: frozenset[str] | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether *scope*, or admin, is among its scopes."""
        return scope in self.scopes or "admin" in self.scopes

    def reaches_environment(self, environment: str) -> bool:
        """Whether it reaches *environment*."""
        return self.environments is None or environment in self.environments

    def reaches_service(self, service_name: str) -> bool:
        """Whether it reaches *service_name*."""
        return self.services is None or service_name in self.services

    def reads_service(self, service_name: str) -> bool:
        """Whether it may read the configuration of *service_name*: shared values lie under those of every service."""
        return self.reaches_service(service_name) or (service_name == SHARED and bool(self.services))

    @property
    def readable_services(self) -> frozenset[str] | None:
        """The services whose configuration it may read; None: all."""
        return self.services | {SHARED} if self.services else self.services


class Auth(Protocol):
    """Decides who a caller is. An application that embeds the API may bring its own."""

    async def authenticate(self, scope: AsgiScope, headers: Mapping[bytes, bytes]) -> Grant:
        """Return what the caller may do. Raises `ProblemError` 401, 403 or 503."""

    async def start(self, executor: Executor) -> None:
        """Get ready; called on the event loop before the first request."""

    def on_event(self, event: Event) -> None:
        """Take in what the deployment's bus tells; called on any thread."""


LOCAL = Grant("loopback", frozenset(SCOPES))


class TokenAuth:
    """
    Bearer tokens; without any, only local requests.

    Args:
        store: The deployment's tokens, if its database is in reach.
        extra: The secret of one more token, with every scope (`CONFIGKIT_TOKEN`).
    """

    def __init__(self, store: TokenStore | None, *, extra: str | None = None) -> None:
        self._store = store
        self._extra = Token("CONFIGKIT_TOKEN", tokens.digest(extra), frozenset(SCOPES)) if extra else None
        self._grants: dict[str, Grant] | None = None if store is not None else self._with_extra([])
        self._fresh_until = 0.0
        self._read_at = 0.0
        self._executor: Executor | None = None
        self._loading = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._readings: set[asyncio.Task[None]] = set()
        self._failing = False

    async def start(self, executor: Executor) -> None:
        """Read the tokens, and warn if there are none."""
        self._executor = executor
        self._loading = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        try:
            grants = await self._known()
        except ProblemError:
            logger.warning("the tokens could not be read yet; requests are refused until they are")
            return
        if not grants:
            logger.warning(_OPEN, _REMEDY)

    def on_event(self, event: Event) -> None:
        """Read the tokens again, before the next request at the latest, if they may have changed."""
        if isinstance(event, AccessChanged | Resync):
            self._fresh_until = 0.0
            if self._loop is not None and not self._loop.is_closed():
                with suppress(RuntimeError):  # the loop was closed since
                    self._loop.call_soon_threadsafe(self._read_soon)

    def _read_soon(self) -> asyncio.Task[None]:
        reading = asyncio.create_task(self._read_again())
        self._readings.add(reading)
        reading.add_done_callback(self._readings.discard)
        return reading

    async def _read_again(self) -> None:
        with suppress(ProblemError, ConfigKitError):
            await self._known()

    async def authenticate(self, scope: AsgiScope, headers: Mapping[bytes, bytes]) -> Grant:
        """Return the grant of the bearer token, or of a local request where there are no credentials."""
        grants = self._grants
        if grants is None:
            grants = await self._known()
        elif self._store is not None and time.monotonic() > self._fresh_until:
            grants = await self._refreshed(grants)
        given = headers.get(b"authorization")
        if given is not None:
            grant = _bearer(given, grants)
            if grant is None and self._store is not None and time.monotonic() > self._read_at + PATIENCE_SECONDS:
                # It may have been made a moment ago.
                self._fresh_until = 0.0
                grant = _bearer(given, await self._known())
            if grant is None:
                raise ProblemError(UNAUTHENTICATED, "the token is not valid, or was revoked", headers=_CHALLENGE)
            return grant
        if grants:
            raise ProblemError(UNAUTHENTICATED, f"send a token; {_REMEDY}", headers=_CHALLENGE)
        _check_local(scope, headers)
        return LOCAL

    async def _refreshed(self, grants: dict[str, Grant]) -> dict[str, Grant]:
        """Begin to read the tokens again, and return what is known a moment later: a database that hangs delays no request."""
        patience = WAIT_SECONDS if self._fresh_until else WAIT_WHEN_TOLD_SECONDS
        await asyncio.wait({self._read_soon()}, timeout=0 if self._failing else patience)
        return grants if self._grants is None else self._grants

    async def _known(self) -> dict[str, Grant]:
        if self._store is None:
            return self._grants or {}
        if self._executor is None:
            raise unavailable("the server is starting")
        async with self._loading:
            if self._grants is not None and time.monotonic() <= self._fresh_until:
                return self._grants
            # Set before the read: an event that comes meanwhile makes the answer old at once.
            self._read_at = time.monotonic()
            self._fresh_until = self._read_at + REFRESH_SECONDS
            before = self._grants
            try:
                self._grants = self._with_extra(await self._executor.run(self._store.all))
                self._failing = False
                _tell_rule(before, self._grants)
            except BackendError:
                self._failing = True
                if self._grants is None:
                    self._fresh_until = 0.0
                    raise unavailable("the tokens cannot be read; try again, and look at /ready") from None
                logger.warning("the tokens could not be read again; the last known ones stay valid")
            return self._grants

    def _with_extra(self, stored: list[Token]) -> dict[str, Grant]:
        known = [*stored, self._extra] if self._extra is not None else stored
        return {token.digest: Grant(token.name, token.scopes, token.environments, token.services) for token in known}


def _tell_rule(before: Mapping[str, Grant] | None, now: Mapping[str, Grant]) -> None:
    """Log it where the first token came, or the last one went: that changes who is served."""
    if before is None or bool(before) is bool(now):
        return
    if now:
        logger.warning(_CLOSED)
    else:
        logger.warning(_OPEN, _REMEDY)


def _bearer(given: bytes, grants: Mapping[str, Grant]) -> Grant | None:
    scheme, _, secret = given.partition(b" ")
    if scheme.lower() != b"bearer" or len(secret) > 512:
        return None
    presented = tokens.digest(secret.strip().decode("latin-1"))
    found = None
    for digest, candidate in grants.items():
        if hmac.compare_digest(digest, presented):
            found = candidate
    return found


def _check_local(scope: AsgiScope, headers: Mapping[bytes, bytes]) -> None:
    client = scope.get("client")
    if client is None or not is_loopback(client[0]):
        raise _not_local("no credentials are configured, so that only requests from the same machine are served")
    if not is_loopback_host(headers.get(b"host", b"")):
        raise _not_local("no credentials are configured, so that the Host must be localhost, 127.0.0.1 or [::1]")
    for name in _FORWARDED:
        if name in headers:
            raise _not_local("no credentials are configured, and the request came through a proxy")
    origin = headers.get(b"origin")
    if origin is not None and not is_loopback_origin(origin):
        raise _not_local("no credentials are configured, and the request came from a web page")


def _not_local(why: str) -> ProblemError:
    return ProblemError(CREDENTIALS_REQUIRED, f"{why}; {_REMEDY}")


@lru_cache(maxsize=256)
def is_loopback(address: str) -> bool:
    """Whether *address* is an IP address of this machine's loopback."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return ip.is_loopback or (mapped is not None and mapped.is_loopback)


@lru_cache(maxsize=256)
def is_loopback_host(host: bytes) -> bool:
    """Whether a Host header, with or without port, names loopback."""
    try:
        parts = urlsplit(f"//{host.decode('ascii')}")
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return False
    return name == "localhost" or is_loopback(name)


def is_loopback_origin(origin: bytes) -> bool:
    """Whether an Origin header names loopback; ``null`` does not."""
    scheme, separator, host = origin.partition(b"://")
    return bool(separator) and scheme in (b"http", b"https") and is_loopback_host(host)
