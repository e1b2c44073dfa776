"""A real server on a free port, and clients for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette

from configkit import tokens
from configkit.backends.memory import open_memory
from configkit.client import ConfigKit
from configkit.models import Origin
from configkit.ports import SCOPES, Backends, Token
from configkit.registry.addresses import AddressPolicy
from configkit.wiring.buses import MergedBus
from configkit_server import Limits, TokenAuth, create_app
from configkit_server.serving import serving
from tests.directs import direct_server, fresh_direct
from tests.waiting import eventually

PLACE = {"environment": "development", "service_name": "asr-service"}
CONFIG = "/api/v1/config"
FLAGS = "/api/v1/feature-flags"
REGISTRY = "/api/v1/registry"
PROBLEM = "urn:configkit:problem:"


@dataclass
class Deployed:
    """A running server, its client and its core."""

    kit: ConfigKit
    url: str
    http: httpx2.Client
    app: Starlette

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def raw(self, request: bytes, *, timeout: float = 10.0) -> bytes:
        """Send *request* as it is, and return everything that comes until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(request)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received

    def token(self, *scopes: str, name: str = "", **limits: frozenset[str] | None) -> dict[str, str]:
        """Make a token and return the header that presents it."""
        assert self.kit.backends.tokens is not None
        assert set(scopes) <= set(SCOPES)
        secret = tokens.new_secret()
        named = name or f"test-{secret[3:11].replace('_', 'x').replace('-', 'y')}"
        made = Token(named, tokens.digest(secret), frozenset(scopes), **limits)  # type: ignore[arg-type]
        self.kit.backends.tokens.create(made, origin=Origin("test"))
        headers = {"Authorization": f"Bearer {secret}"}
        eventually(lambda: self.http.get("/health", headers=headers).status_code != 401)
        return headers

    def create(self, key: str, value: Any, **fields: Any) -> dict[str, Any]:
        """Create a value and return what was answered."""
        headers = fields.pop("headers", {})
        answer = self.http.post(CONFIG, json={"key": key, "value": value, **PLACE, **fields}, headers=headers)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made


_KINDS = ["memory"]


@contextmanager
def deploying(kind: str) -> Iterator[None]:
    """Let `deployed` serve new deployments of *kind* for the block: memory (sqlite counts as that) or direct."""
    _KINDS.append(kind)
    try:
        yield
    finally:
        _KINDS.pop()


@contextmanager
def variables_of_a_new_deployment() -> Iterator[dict[str, str]]:
    """Give what a process must be told to run on a new deployment of the present kind; none where a folder suffices."""
    if _KINDS[-1] != "direct":
        yield {}
        return
    with fresh_direct() as variables:
        yield variables


@contextmanager
def new_deployment() -> Iterator[Backends]:
    """Give the backends of a new deployment of the present kind; nothing of it is left afterwards."""
    with variables_of_a_new_deployment() as variables:
        yield direct_server(variables) if variables else open_memory()


@contextmanager
def deployed(
    backends: Backends | None = None,
    *,
    extra: str | None = None,
    limits: Limits | None = None,
    registry_enabled: bool = True,
    addresses: AddressPolicy | None = None,
    deadline: float = 5.0,
    **options: Any,
) -> Iterator[Deployed]:
    """Serve *backends*, by default a new deployment; *options* are the server's."""
    with ExitStack() as stack:
        backends = backends or stack.enter_context(new_deployment())
        kit = stack.enter_context(ConfigKit(backends, registry_enabled=registry_enabled, deadline=deadline))
        auth = TokenAuth(kit.backends.tokens, extra=extra)
        app = create_app(kit, auth=auth, limits=limits, addresses=addresses or AddressPolicy())
        with serving(app, **options) as url, httpx2.Client(base_url=url, timeout=10.0) as http:
            _settled(kit, http)
            yield Deployed(kit, url, http, app)


def _settled(kit: ConfigKit, http: httpx2.Client) -> None:
    """Wait for the buses that take their time: one that comes late tells of a gap, which most tests are not about."""
    bus = kit.backends.bus
    if isinstance(bus, MergedBus):
        eventually(lambda: http.get("/ready").status_code == 200 and not bus.waiting, timeout=15.0)


def sqlite(folder: Path, *, deadline: float = 5.0) -> Backends:
    """Return a new deployment on an SQLite file in *folder*."""
    from configkit.backends.sql import open_sqlite

    return open_sqlite(str(folder / "configkit.db"), master_key="a master key of the tests", deadline=deadline)


def problem(answer: httpx2.Response, status: int, kind: str | None = None) -> dict[str, Any]:
    """Check that *answer* is a problem document, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= document.keys()
    assert document["status"] == status
    assert document["type"].startswith(PROBLEM)
    assert document["instance"] == f"urn:configkit:request:{answer.headers['x-request-id']}"
    if kind is not None:
        assert document["type"] == PROBLEM + kind
    return document
