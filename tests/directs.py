"""Deployments on the five real servers that one test has for itself, and nothing of them afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from configkit.ports import Backends
from configkit.settings import Settings
from configkit.wiring.direct import open_direct
from configkit.wiring.removal import remove_deployment
from tests import services
from tests.databases import fresh_schema
from tests.vaults import fresh_mount

SERVERS = ("vault", "postgres", "redis", "kafka", "zookeeper")


@contextmanager
def fresh_direct() -> Iterator[dict[str, str]]:
    """
    Give the variables of a new deployment: a KV engine with an AppRole, a schema, a namespace, a topic and a base path.

    Without the servers the test is skipped, saying why, or fails where CI is true.
    """
    env = services.need(*SERVERS)
    name = f"test-{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:
        schema = stack.enter_context(fresh_schema(env["DATABASE_URL"]))
        mount = stack.enter_context(fresh_mount())
        variables = {
            **{variable: value for variable, value in env.items() if value},
            "CONFIGKIT_MODE": "direct",
            "CONFIGKIT_DATABASE_SCHEMA": schema,
            "VAULT_MOUNT_POINT": mount.name,
            "VAULT_ROLE_ID": mount.role_id,
            "VAULT_SECRET_ID": mount.secret_id,
            "REDIS_NAMESPACE": name,
            "KAFKA_TOPIC_CONFIG_UPDATES": name,
            "ZOOKEEPER_BASE_PATH": f"/{name}",
        }
        stack.callback(_remove, variables)
        yield variables


def _remove(variables: dict[str, str]) -> None:
    assert remove_deployment(Settings(**variables), ()) == []  # type: ignore[arg-type]


def direct_server(variables: dict[str, str]) -> Backends:
    """Return a server's backends on the deployment of *variables*, whose topic is there: a late bus tells of a gap."""
    _make_topic(variables)
    return open_direct(Settings(**variables), serves=True)  # type: ignore[arg-type]


def _make_topic(variables: dict[str, str]) -> None:
    from configkit.backends.kafka import Address
    from configkit.backends.kafka.topic import ensure

    ensure(Address(variables["KAFKA_BOOTSTRAP_SERVERS"]), variables["KAFKA_TOPIC_CONFIG_UPDATES"], seconds=15.0)
