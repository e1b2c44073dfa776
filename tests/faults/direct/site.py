"""A deployment of its own to do harm to: the five systems, servers on them, and libraries beside them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2
from scripts.services import Fleet, Server, read_env
from scripts.services.fleet import RECIPES
from scripts.services.vault import root_token

import configkit
from configkit.client import ConfigKit
from tests.faults.processes import ServerProcess
from tests.faults.proxy import Proxy
from tests.vaults import Answer, ask

DEADLINE = 2.0
SESSION = 6.0
SLACK = 0.1
"""The caller has its answer within the deadline and this."""
ENVIRONMENT = "development"
PROXIED = {"vault": "VAULT_ADDR", "postgres": "DATABASE_URL", "redis": "REDIS_PORT", "zookeeper": "ZOOKEEPER_HOSTS"}


class Site:
    """
    The five systems, started.

    Attributes:
        proxies: One before each system whose clients keep to the address that they are given (Kafka's do not).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fleet = Fleet(folder / "services")
        self.systems: dict[str, Server] = {server.name: server for server in self._fleet.servers}
        self.proxies: dict[str, Proxy] = {}
        self.variables: dict[str, str] = {}

    def start(self) -> None:
        self._fleet.start(install=False)
        given = read_env((self.folder / "services" / "env").read_text(encoding="utf-8"))
        changes = {"CONFIGKIT_DEADLINE": f"{DEADLINE:g}", "ZOOKEEPER_SESSION_TIMEOUT": f"{SESSION:g}"}
        self.variables = {name: value for name, value in {**given, **changes}.items() if value}
        self.proxies = {name: Proxy(self.port(name)) for name in PROXIED}

    def stop(self) -> None:
        for one in self.proxies.values():
            one.close()
        self._fleet.stop()

    def port(self, name: str) -> int:
        """Return where clients of the system *name* connect."""
        return self.systems[name].place.ports["client"]

    @property
    def through_proxies(self) -> dict[str, str]:
        """The variables that lead through the proxies."""
        ports = {name: (str(self.port(name)), str(one.port)) for name, one in self.proxies.items()}
        return {**self.variables, **{PROXIED[name]: self.variables[PROXIED[name]].replace(*ports[name]) for name in ports}}

    def mend(self) -> None:
        """Bring everything back to how it was after `start`."""
        for one in self.proxies.values():
            one.heal()
        for server in self.systems.values():
            if server.process is not None:
                server.process.resume()
            server.start()

    def vault(self, method: str, path: str, body: object = None) -> Answer:
        """Send a plain request to Vault as root."""
        place = self.systems["vault"].place
        return ask(f"http://127.0.0.1:{place.ports['client']}", method, path, body, token=root_token(place))

    def write_plainly(self, service: str, key: str, value: str) -> None:
        """Write a value with a plain request to Vault, as somebody would who knows nothing of configkit."""
        answer = self.vault("POST", f"secret/data/{ENVIRONMENT}/{service}/{key}", {"data": {"value": value, "is_encrypted": False}})
        assert answer.status == 200, answer

    @contextmanager
    def library(self, service: str, *, proxied: bool = False, **more: str) -> Iterator[ConfigKit]:
        """Give a client in direct mode."""
        variables = {**(self.through_proxies if proxied else self.variables), **more}
        plain = {name: value for name, value in os.environ.items() if name not in variables and not name.startswith("CONFIGKIT_")}
        with mock.patch.dict(os.environ, {**plain, **variables}, clear=True):
            kit = configkit.connect(mode="direct", service_name=service, deadline=DEADLINE)
        with kit:
            yield kit

    def serve(self, name: str, *, proxied: bool = False, **more: str) -> ServerProcess:
        """Return a server of this site, not started yet."""
        variables = {**(self.through_proxies if proxied else self.variables), **more}
        return ServerProcess(self.folder / f"{name}.log", variables=variables)

    @contextmanager
    def serving(self, name: str, *, proxied: bool = False, **more: str) -> Iterator[ServerProcess]:
        """Give a server of this site, started."""
        server = self.serve(name, proxied=proxied, **more)
        try:
            server.start()
            yield server
        finally:
            server.close()


class Api:
    """What the tests ask a server for, about one service."""

    def __init__(self, url: str, service: str) -> None:
        self.http = httpx2.Client(base_url=url, timeout=30.0, trust_env=False)
        self.where = {"environment": ENVIRONMENT, "service_name": service}
        self.service = service

    def create(self, key: str, value: object, **more: object) -> httpx2.Response:
        return self.http.post("/api/v1/config", json={"key": key, "value": value, **self.where, **more})

    def put(self, key: str, value: object, **more: object) -> httpx2.Response:
        return self.http.put(f"/api/v1/config/{key}", params=self.where, json={"value": value, **more})

    def get(self, key: str, *, fresh: bool = False, **more: Any) -> httpx2.Response:
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        return self.http.get(f"/api/v1/config/{key}", params={**self.where, **more}, headers=headers)

    def delete(self, key: str) -> httpx2.Response:
        return self.http.delete(f"/api/v1/config/{key}", params=self.where)

    def create_flag(self, name: str, *, on: bool) -> httpx2.Response:
        body = {"name": name, "environment": ENVIRONMENT, "is_enabled": on, "rollout_percentage": 100.0}
        return self.http.post("/api/v1/feature-flags", json=body)

    def set_flag(self, name: str, *, on: bool) -> httpx2.Response:
        return self.http.put(f"/api/v1/feature-flags/{name}", params={"environment": ENVIRONMENT}, json={"is_enabled": on})

    def evaluate(self, name: str) -> httpx2.Response:
        body = {"flag_name": name, "environment": ENVIRONMENT, "user_id": "u1"}
        return self.http.post("/api/v1/feature-flags/evaluate", json=body)

    def register(self, instance_id: str, *, ttl: float = 600.0) -> httpx2.Response:
        body = {"service_name": self.service, "service_url": "http://10.0.0.5:8087", "instance_id": instance_id, "ttl_seconds": ttl}
        return self.http.post("/api/v1/registry/register", json=body)

    def instances(self) -> httpx2.Response:
        return self.http.get(f"/api/v1/registry/services/{self.service}")

    def ready(self) -> bool:
        return self.http.get("/ready").status_code == 200

    def close(self) -> None:
        self.http.close()


@contextmanager
def apis(*servers: ServerProcess, service: str) -> Iterator[list[Api]]:
    """Give a client of each server."""
    with ExitStack() as stack:
        made = [Api(server.url, service) for server in servers]
        for api in made:
            stack.callback(api.close)
        yield made


def fresh_name(prefix: str = "svc") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def names() -> list[str]:
    """Return the names of the five systems."""
    return list(RECIPES)


def visible(kit: ConfigKit, key: str, value: object) -> Callable[[], bool]:
    """Return what tells whether the library shows *value*."""
    return lambda: kit.config.get(key, default=None) == value
