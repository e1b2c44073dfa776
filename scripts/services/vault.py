"""Vault: built from its own modules, started sealed, unsealed here; KV 2 at `secret`, KV 1 at `secret-v1`, an AppRole."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from scripts.services.places import LOOPBACK, Place, write_private
from scripts.services.processes import wait
from scripts.services.provision import MissingSoftwareError, Program, cached, run

MOUNTS = {"secret": "2", "secret-v1": "1"}
POLICY = Path(__file__).parent / "sources" / "policy.hcl"
_SOURCES = Path(__file__).parent / "sources" / "vault"
_GO = Program("go", "Go 1.21 or newer, to build Vault with", ("/usr/local/go/bin", "/usr/lib/go/bin"))
_HEALTH = {200: "ready", 501: "uninitialised", 503: "sealed"}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Vault:
    """The recipe of Vault."""

    name = "vault"
    ports = ("client", "tls")
    passwords = ("token", "role", "secret")
    stop_signal = signal.SIGTERM
    programs: tuple[Program, ...] = ()

    def install(self) -> None:
        """See Recipe."""
        cached("vault", _sources(), _build)

    def user(self) -> None:
        """Vault runs as anybody."""

    def prepare(self, place: Place) -> None:
        """See Recipe. What belonged to former data is forgotten with them."""
        if not place.data.exists():
            place.data.mkdir()
            for name in ("init.json", "set-up"):
                (place.folder / name).unlink(missing_ok=True)

    def command(self, place: Place) -> list[str]:
        """See Recipe."""
        folder = cached("vault", _sources())
        if folder is None:
            remedy = "nox -s services -- start builds it" if _GO.find() else f"install {_GO.package}"
            raise MissingSoftwareError(f"Vault is not on this machine: {remedy}")
        addresses = {name: f"{LOOPBACK}:{port}" for name, port in place.ports.items()}
        tls = ["-tls-address", addresses["tls"], "-certificate", str(place.certificate), "-key", str(place.key)]
        return [str(folder / "vault"), "-address", addresses["client"], *tls, "-folder", str(place.data)]

    def state(self, place: Place) -> str:
        """See Recipe."""
        try:
            status, _ = _send(place, "GET", "sys/health", timeout=1)
        except OSError:
            return ""
        return _HEALTH.get(status, f"status {status}")

    def open(self, place: Place) -> None:
        """See Recipe."""
        unseal(place)
        done = place.folder / "set-up"
        if not done.exists():
            _set_up(place)
            done.touch()

    def variables(self, place: Place) -> dict[str, str]:
        """See Recipe."""
        return {
            "VAULT_ADDR": f"http://{LOOPBACK}:{place.ports['client']}",
            "VAULT_TOKEN": place.passwords["token"],
            "VAULT_ROLE_ID": place.passwords["role"],
            "VAULT_SECRET_ID": place.passwords["secret"],
        }

    def clean(self, place: Place) -> None:
        """Vault leaves nothing elsewhere."""


def root_token(place: Place) -> str:
    """Return the token that may do everything."""
    return str(json.loads((place.folder / "init.json").read_text(encoding="utf-8"))["root_token"])


def seal(place: Place) -> None:
    """Seal Vault: it answers 503 to everything until `unseal`."""
    call(place, "PUT", "sys/seal", token=root_token(place))


def unseal(place: Place) -> None:
    """Make a Vault that answers usable: initialise it, if it never was, and unseal it, if it is sealed."""
    kept = place.folder / "init.json"
    if Vault().state(place) == "uninitialised":
        made = call(place, "PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        write_private(kept, json.dumps({"key": made["keys_base64"][0], "root_token": made["root_token"]}))
    if Vault().state(place) != "ready":
        call(place, "PUT", "sys/unseal", {"key": json.loads(kept.read_text(encoding="utf-8"))["key"]})
        wait(lambda: Vault().state(place) == "ready", 20, "Vault to be active")


def call(place: Place, method: str, path: str, body: object = None, *, token: str | None = None) -> dict[str, Any]:
    """Send one request to Vault's API and return its answer; raise OSError, with the path, for an answer that is an error."""
    status, answer = _send(place, method, path, body, token=token, timeout=10)
    if status >= 400:
        raise OSError(f"Vault answers {status} to {method} {path}: {answer.decode(errors='replace').strip()}")
    return dict(json.loads(answer)) if answer else {}


def _set_up(place: Place) -> None:
    root, passwords = root_token(place), place.passwords
    role = "auth/approle/role/configkit"

    def post(path: str, **body: object) -> None:
        call(place, "POST", path, body, token=root)

    for mount, version in MOUNTS.items():
        post(f"sys/mounts/{mount}", type="kv", options={"version": version})
    post("sys/policies/acl/configkit", policy=POLICY.read_text(encoding="utf-8"))
    post("sys/auth/approle", type="approle")
    post(role, token_policies=["configkit"], token_ttl="20m", token_max_ttl="24h")  # noqa: S106
    post(f"{role}/role-id", role_id=passwords["role"])
    post(f"{role}/custom-secret-id", secret_id=passwords["secret"])
    post("auth/token/create", id=passwords["token"], policies=["configkit"], period="768h", no_parent=True)
    # A new KV 2 mount first upgrades itself and refuses everything meanwhile.
    wait(lambda: _send(place, "GET", "secret/config", token=root, timeout=5)[0] == 200, 20, "the KV engine")


def _send(
    place: Place, method: str, path: str, body: object = None, *, token: str | None = None, timeout: float
) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://{LOOPBACK}:{place.ports['client']}/v1/{path}", method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
    if token is not None:
        request.add_header("X-Vault-Token", token)
    try:
        with _DIRECT.open(request, timeout=timeout) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _sources() -> list[Path]:
    return [_SOURCES / name for name in ("main.go", "go.mod", "go.sum")]


def _build(folder: Path) -> None:
    flags = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w"]
    environ = {**os.environ, "CGO_ENABLED": "0"}
    run([_GO.path(), "build", *flags, "-o", str(folder / "vault"), "."], "building Vault", folder=_SOURCES, environ=environ)
