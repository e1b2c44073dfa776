"""KV engines of the running Vault that one test has for itself, and plain requests to look behind configkit."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scripts.services.vault import POLICY

from configkit.backends.vault import open_vault
from tests import services
from tests.waiting import eventually

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


@dataclass(frozen=True)
class Mount:
    """A KV engine of its own, and an AppRole that may use nothing else."""

    address: str
    name: str
    role_id: str
    secret_id: str
    root_token: str

    def open(self, **changes: Any) -> Any:
        """Return a store on it, logged in through the AppRole unless told otherwise."""
        login = {} if {"token", "role_id"} & changes.keys() else {"role_id": self.role_id, "secret_id": self.secret_id}
        return open_vault(**{"address": self.address, "mount": self.name, **login, **changes})

    def ask(self, method: str, path: str, body: object = None, *, token: str | None = None) -> Answer:
        """Send a plain request, as root unless told otherwise."""
        return ask(self.address, method, path, body, token=token or self.root_token)

    def token(self, **fields: Any) -> str:
        """Return a new token of the mount's policy."""
        body = {"policies": [self.name], "no_parent": True, **fields}
        return str(self.ask("POST", "auth/token/create", body).body["auth"]["client_token"])


def ask(address: str, method: str, path: str, body: object = None, *, token: str | None = None) -> Answer:
    request = urllib.request.Request(f"{address}/v1/{path}", method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
    if token:
        request.add_header("X-Vault-Token", token)
    try:
        with _DIRECT.open(request, timeout=10) as response:
            content = response.read()
            return Answer(response.status, json.loads(content) if content else None)
    except urllib.error.HTTPError as error:
        with error:
            content = error.read()
            return Answer(error.code, json.loads(content) if content else None)


@contextmanager
def fresh_mount(*, kv_version: int = 2, address: str | None = None, root_token: str | None = None, **role: Any) -> Iterator[Mount]:
    """Mount an engine under a new name in the running Vault (or another one), with a role and a policy, and remove them after."""
    address = address or services.need("vault")["VAULT_ADDR"]
    root = root_token or services.vault_root_token()
    name = f"test-{uuid.uuid4().hex[:12]}"

    def post(path: str, body: object) -> Any:
        answer = ask(address, "POST", path, body, token=root)
        assert answer.status < 300, (path, answer)
        return answer.body

    post(f"sys/mounts/{name}", {"type": "kv", "options": {"version": str(kv_version)}})
    source = "secret-v1/" if kv_version == 1 else "secret/"
    lines = [line.replace(source, f"{name}/") for line in POLICY.read_text(encoding="utf-8").splitlines() if source in line]
    post(f"sys/policies/acl/{name}", {"policy": "\n".join(lines)})
    post(f"auth/approle/role/{name}", {"token_policies": [name], "token_ttl": "20m", "token_max_ttl": "1h", **role})
    role_id = ask(address, "GET", f"auth/approle/role/{name}/role-id", token=root).body["data"]["role_id"]
    secret_id = post(f"auth/approle/role/{name}/secret-id", {})["data"]["secret_id"]
    if kv_version == 2:  # a new mount first upgrades itself, and refuses everything meanwhile
        eventually(lambda: ask(address, "GET", f"{name}/config", token=root).status == 200, timeout=20)
    try:
        yield Mount(address, name, role_id, secret_id, root)
    finally:
        for path in (f"sys/mounts/{name}", f"auth/approle/role/{name}", f"sys/policies/acl/{name}"):
            ask(address, "DELETE", path, token=root)
