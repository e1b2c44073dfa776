"""`configkit demo` does what it says, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests import services
from tests.directs import fresh_direct
from tests.examples.programs import Program, running
from tests.vaults import ask
from tests.waiting import eventually

INTERRUPTED = (130, -signal.SIGINT)
"""CPython ends by the signal itself if Ctrl-C came while it ran code from a string, as making a dataclass does."""


@contextmanager
def demonstration(folder: Path, *options: str, **variables: str) -> Iterator[Program]:
    # Variables that must not reach into it, and a proxy that answers nobody.
    foreign = {"CONFIGKIT_URL": "http://127.0.0.1:9", "CONFIGKIT_TOKEN": "ck_foreign", "http_proxy": "http://127.0.0.1:9"}
    with running(["-m", "configkit", "demo", *options], folder, TMPDIR=str(folder), **{**variables, **foreign}) as program:
        yield program


def pids(program: Program) -> list[int]:
    """Return the processes that it told of."""
    return [int(pid) for line in program.seen for pid in re.findall(r"\(process (\d+)\)", line)]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def left_behind(program: Program, folder: Path) -> list[object]:
    return [pid for pid in pids(program) if is_running(pid)] + list(folder.glob("configkit-demo-*"))


def test_the_demonstration_shows_the_main_job_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with demonstration(tmp_path) as program:
        program.line("All of it worked", timeout=90.0)
        assert program.process.wait(20) == 0
    text = "\n".join(program.seen)
    assert len(pids(program)) == 3
    assert left_behind(program, tmp_path) == []
    share = re.search(r"█+░+ (\d+\.\d+) %", text)
    assert share is not None
    assert 23 < float(share[1]) < 27
    delays = [int(delay) for delay in re.findall(r"has it (\d+) ms after", text)]
    assert len(delays) == 2
    assert max(delays) < 1000
    gone = re.search(r"off the list, (\d+\.\d) s after it was killed", text)
    assert gone is not None
    assert float(gone[1]) < 8
    assert "secret_key_123" not in text


def test_ctrl_c_ends_the_demonstration_with_everything_it_started(tmp_path: Path) -> None:
    with demonstration(tmp_path) as program:
        program.line("   asr-service 2 (process ", timeout=60.0)
        assert len(pids(program)) == 3
        assert all(is_running(pid) for pid in pids(program))
        program.process.send_signal(signal.SIGINT)
        assert program.process.wait(30) in INTERRUPTED
    assert left_behind(program, tmp_path) == []


def test_a_demonstration_that_fails_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with demonstration(tmp_path) as program:
        program.line("   configkit serve (process ", timeout=60.0)
        [server] = pids(program)
        os.kill(server, signal.SIGKILL)
        assert program.process.wait(60) == 1
        program.line("configkit: ")
        eventually(lambda: not is_running(server))
    assert "All of it worked" not in "\n".join(program.seen)
    assert left_behind(program, tmp_path) == []


@pytest.fixture
def deployment() -> Iterator[dict[str, str]]:
    """The real servers, with a Vault engine of the test's own."""
    with fresh_direct() as variables:
        yield variables


def keeping(variables: dict[str, str], policy: str) -> None:
    mount = variables["VAULT_MOUNT_POINT"]
    token = services.vault_root_token()
    given = ask(variables["VAULT_ADDR"], "GET", f"sys/policies/acl/{mount}", token=token).body["data"]["policy"]
    body = {"policy": f"{given}\n{policy}"}
    assert ask(variables["VAULT_ADDR"], "POST", f"sys/policies/acl/{mount}", body, token=token).status == 204


def test_the_demonstration_runs_on_the_real_servers_and_leaves_nothing_in_them(deployment: dict[str, str], tmp_path: Path) -> None:
    mount = deployment["VAULT_MOUNT_POINT"]
    keeping(deployment, f'path "{mount}/metadata/*" {{ capabilities = ["read", "create", "update", "patch", "list", "delete"] }}')
    with demonstration(tmp_path, "--direct", **deployment) as program:
        program.line("All of it worked", timeout=90.0)
        assert program.process.wait(30) == 0
    text = "\n".join(program.seen)
    assert "Nothing is left: processes, folder, schema, keys, topic, nodes and secrets are gone." in text
    assert left_behind(program, tmp_path) == []
    assert max(int(delay) for delay in re.findall(r"has it (\d+) ms after", text)) < 1000
    address, token = deployment["VAULT_ADDR"], services.vault_root_token()
    for environment in ("development", "production"):
        assert ask(address, "LIST", f"{mount}/metadata/{environment}/", token=token).status == 404
    [name] = set(re.findall(r"asr-service-([0-9a-f]{8})", text))
    assert not has_schema(deployment, f"configkit_demo_{name}")


def has_schema(variables: dict[str, str], name: str) -> bool:
    with psycopg.connect(variables["DATABASE_URL"]) as connection:
        return connection.execute("SELECT to_regnamespace(%s)", [name]).fetchone() != (None,)


def test_ctrl_c_removes_what_was_in_the_real_servers(deployment: dict[str, str], tmp_path: Path) -> None:
    with demonstration(tmp_path, "--direct", **deployment) as program:
        program.line("   asr-service 2 (process ", timeout=60.0)
        program.process.send_signal(signal.SIGINT)
        assert program.process.wait(60) in INTERRUPTED
    assert left_behind(program, tmp_path) == []
    address, mount, token = deployment["VAULT_ADDR"], deployment["VAULT_MOUNT_POINT"], services.vault_root_token()
    [service] = ask(address, "LIST", f"{mount}/metadata/development/", token=token).body["data"]["keys"]
    assert not has_schema(deployment, f"configkit_demo_{service.rstrip('/')[-8:]}")
    read = ask(address, "GET", f"{mount}/data/development/{service}model_path", token=token)
    assert read.status == 404, "deleted, as the policy lets"


def test_what_the_policy_keeps_is_told(deployment: dict[str, str], tmp_path: Path) -> None:
    with demonstration(tmp_path, "--direct", **deployment) as program:
        said = program.line("All of it worked", timeout=90.0)
        assert program.process.wait(30) == 0
    assert "Left behind: the history of development/asr-service-" in said


def test_without_the_servers_the_demonstration_says_how_to_get_them(tmp_path: Path) -> None:
    with demonstration(tmp_path, "--direct", VAULT_ADDR="http://127.0.0.1:1", REDIS_HOST="") as program:
        said = program.line("configkit: configkit demo --direct needs the five systems")
        assert program.process.wait(20) == 2
    assert "DATABASE_URL, REDIS_HOST, KAFKA_BOOTSTRAP_SERVERS, ZOOKEEPER_HOSTS" in said
    assert "nox -s services -- start" in said
