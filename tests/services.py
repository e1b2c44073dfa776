"""The real servers that the tests use: those of `.services/env`, which `nox -s services -- start` writes, and private ones."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest
from scripts import services

LEADS_TO = {
    "postgres": "DATABASE_URL",
    "redis": "REDIS_HOST",
    "kafka": "KAFKA_BOOTSTRAP_SERVERS",
    "zookeeper": "ZOOKEEPER_HOSTS",
    "vault": "VAULT_ADDR",
}
"""The variable that names each server's address."""


@cache
def env() -> dict[str, str]:
    """Return the variables of the running servers; empty where none were started."""
    try:
        return services.read_env((services.SHARED / "env").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def need(*names: str) -> dict[str, str]:
    """Return `env()` if it leads to all servers *names*; otherwise skip the test, saying why, or fail it where CI is true."""
    missing = [name for name in names if not env().get(LEADS_TO[name])]
    if missing:
        without(f"not started: {', '.join(missing)} (nox -s services -- start)")
    return env()


@contextmanager
def private(name: str, folder: Path) -> Iterator[services.Server]:
    """Run a server that the test may harm; skip the test where its software is not on this machine, or fail it where CI is true."""
    try:
        with services.private(name, folder) as server:
            yield server
    except services.MissingSoftwareError as error:
        without(str(error))


def shared(name: str) -> services.Server:
    """Return one of the shared servers, for its other ports and passwords; nobody may harm it."""
    need(name)
    return next(iter(services.Fleet(names=(name,)).servers))


def vault_root_token() -> str:
    """Return the token that may do everything in the shared Vault, to look behind configkit."""
    need("vault")
    return (services.SHARED / "vault-root-token").read_text(encoding="utf-8").strip()


def without(reason: str) -> NoReturn:
    """Skip the test, saying why, or fail it where CI is true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
