"""What the doctor says about the real servers, well and harmed."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripts.services.vault import seal

from tests import services
from tests.cli.command import Command
from tests.directs import SERVERS, fresh_direct
from tests.vaults import ask

UNREACHABLE = "127.0.0.1:1"


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Variables of a new deployment on the real servers, in the environment."""
    with fresh_direct() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("CONFIGKIT_DATABASE_URL", raising=False)
        monkeypatch.delenv("CONFIGKIT_SERVICE_NAME", raising=False)
        yield variables


def systems(cli: Command, code: int) -> dict[str, Any]:
    done = cli("doctor", "--json")
    assert done.code == code, done.out + done.err
    found: dict[str, Any] = done.json["systems"]
    return found


def test_a_migrated_deployment_works_and_nothing_is_left_of_the_look(cli: Command, deployment: dict[str, str]) -> None:
    cli.ok("migrate")
    found = systems(cli, 0)
    assert list(found) == list(SERVERS)
    assert {name: facts["status"] for name, facts in found.items() if name != "kafka"} == dict.fromkeys(
        ("vault", "postgres", "redis", "zookeeper"), "ok"
    )
    assert found["kafka"]["status"] == "degraded"
    assert "does not exist yet" in found["kafka"]["remedies"][0]
    assert found["vault"]["version"].startswith("1.")
    assert found["postgres"]["version"].startswith("15")
    assert all(0 < facts["latency_ms"] < 5000 for facts in found.values())
    assert (
        ask(
            deployment["VAULT_ADDR"], "LIST", f"{deployment['VAULT_MOUNT_POINT']}/metadata/", token=services.vault_root_token()
        ).status
        == 404
    )


def test_missing_tables_are_told_with_the_command_that_makes_them(cli: Command, deployment: dict[str, str]) -> None:
    postgres = systems(cli, 1)["postgres"]
    assert (postgres["status"], postgres["required"]) == ("failed", True)
    assert "configkit migrate" in postgres["detail"]
    assert postgres["remedies"] == [], "it was reached: its address is none of the remedies"


def test_what_is_optional_and_away_is_told_and_is_no_failure(
    cli: Command, deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.ok("migrate")
    monkeypatch.setenv("REDIS_PASSWORD", "wrong-canary")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", UNREACHABLE)
    monkeypatch.setenv("ZOOKEEPER_HOSTS", UNREACHABLE)
    begun = time.monotonic()
    done = cli("doctor")
    assert time.monotonic() - begun < 8
    assert done.code == 0
    assert "refused the credentials" in done.out
    assert "REDIS_PASSWORD" in done.err
    assert "KAFKA_BOOTSTRAP_SERVERS" in done.err
    assert "ZOOKEEPER_HOSTS" in done.err
    assert "Everything that is required works" in done.err
    assert "wrong-canary" not in done.out + done.err


@pytest.mark.parametrize(
    ("variable", "value", "system", "said"),
    [
        ("VAULT_SECRET_ID", "wrong-canary", "vault", "VAULT_SECRET_ID"),
        ("VAULT_ADDR", f"http://{UNREACHABLE}", "vault", "VAULT_ADDR"),
        ("VAULT_KV_VERSION", "1", "vault", "VAULT_KV_VERSION"),
        ("DATABASE_URL", f"postgresql://u:wrong-canary@{UNREACHABLE}/d", "postgres", "DATABASE_URL"),
    ],
)
def test_what_is_required_and_wrong_fails_and_says_what_to_set(
    cli: Command, deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch, variable: str, value: str, system: str, said: str
) -> None:
    cli.ok("migrate")
    monkeypatch.setenv(variable, value)
    found = systems(cli, 1)
    assert found[system]["status"] == "failed"
    assert said in json.dumps(found[system])
    assert "wrong-canary" not in json.dumps(found)


def test_the_wrong_password_of_the_database_is_told(
    cli: Command, deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", deployment["DATABASE_URL"].replace("configkit:", "configkit:x", 1))
    postgres = systems(cli, 1)["postgres"]
    assert postgres["status"] == "failed"
    assert "the user and the password" in postgres["remedies"][0]


def test_a_missing_policy_is_told_path_by_path(cli: Command, deployment: dict[str, str]) -> None:
    cli.ok("migrate")
    mount, root = deployment["VAULT_MOUNT_POINT"], services.vault_root_token()
    reading = f'path "{mount}/*" {{ capabilities = ["read", "list"] }}'
    ask(deployment["VAULT_ADDR"], "POST", f"sys/policies/acl/{mount}", {"policy": reading}, token=root)
    vault = systems(cli, 0)["vault"]
    assert vault["status"] == "degraded"
    assert f"create on {mount}/data/development/_shared/configkit-doctor" in vault["remedies"][0]
    nothing = f'path "{mount}/data/production/*" {{ capabilities = ["read"] }}'
    ask(deployment["VAULT_ADDR"], "POST", f"sys/policies/acl/{mount}", {"policy": nothing}, token=root)
    vault = systems(cli, 1)["vault"]
    assert vault["status"] == "failed"
    assert f"read on {mount}/data/development/_shared" in vault["detail"]


def test_a_sealed_vault_is_told(cli: Command, deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with services.private("vault", tmp_path / "vault") as server:
        seal(server.place)
        monkeypatch.setenv("VAULT_ADDR", server.env["VAULT_ADDR"])
        vault = systems(cli, 1)["vault"]
    assert "sealed" in vault["detail"]
    assert vault["status"] == "failed"


def test_a_server_that_never_answers_costs_the_deadline_and_a_second(
    cli: Command, deployment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIGKIT_DEADLINE", "2")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        monkeypatch.setenv("VAULT_ADDR", f"http://{address}")
        monkeypatch.setenv("DATABASE_URL", f"postgresql://u:p@{address}/d")
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
        monkeypatch.setenv("ZOOKEEPER_HOSTS", address)
        begun = time.monotonic()
        found = systems(cli, 1)
        assert time.monotonic() - begun < 4
    assert {name: facts["status"] for name, facts in found.items() if name != "redis"} == {
        "vault": "failed",
        "postgres": "failed",
        "kafka": "degraded",
        "zookeeper": "degraded",
    }


def test_a_node_that_may_not_be_made_is_told(cli: Command, deployment: dict[str, str]) -> None:
    from kazoo.client import KazooClient
    from kazoo.security import make_acl

    client = KazooClient(deployment["ZOOKEEPER_HOSTS"], timeout=10)
    client.start(10)
    try:
        client.create(deployment["ZOOKEEPER_BASE_PATH"], acl=[make_acl("world", "anyone", read=True)])
        zookeeper = systems(cli, 1)["zookeeper"]
    finally:
        client.stop()
        client.close()
    assert zookeeper["status"] == "degraded"
    assert "create nodes below ZOOKEEPER_BASE_PATH" in zookeeper["remedies"][0]


def test_the_embedded_file_is_looked_at_too(cli: Command) -> None:
    assert list(systems(cli, 0)) == ["embedded"]


def test_an_absent_server_is_told_in_remote_mode(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIGKIT_URL", f"http://{UNREACHABLE}")
    server = systems(cli, 1)["server"]
    assert "CONFIGKIT_URL" in server["remedies"][0]


def test_a_server_is_well_in_remote_mode(cli: Command, server: str) -> None:
    done = cli("doctor", "--url", server)
    assert done.code == 0
    assert "the remote mode works" in done.out
