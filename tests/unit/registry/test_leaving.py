"""How real processes leave the registry: a clean exit, SIGTERM, a crash, and forks; on a shared file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import configkit
from configkit import ConfigKit
from tests.unit.registry.servers import free_port
from tests.waiting import eventually

START = """
import os, signal, sys, time
import configkit
kit = configkit.connect(mode="embedded", service_name="asr")
def say(word):
    print(word, flush=True)
"""


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConfigKit]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("CONFIGKIT_DATABASE_URL", f"sqlite:///{tmp_path / 'kit.db'}")
    with configkit.connect(mode="embedded", service_name="watcher") as made:
        yield made


@contextmanager
def process(program: str) -> Iterator[subprocess.Popen[str]]:
    """Run *program* until it says "ready"."""
    strict = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]  # forks are what some of them are about
    command = [sys.executable, *strict, "-c", START + textwrap.dedent(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            first = started.stdout.readline().strip()
            if first != "ready":
                started.kill()
                raise AssertionError(f"{first}\n{started.communicate()[1]}")
            yield started
        finally:
            started.kill()


def listed(kit: ConfigKit) -> int:
    return len(kit.backends.registry.instances("asr"))


def ended(started: subprocess.Popen[str], *, within: float = 10) -> int:
    """Return the exit code of a process that said nothing on stderr."""
    errors = started.communicate(timeout=within)[1]
    assert errors == ""
    return started.returncode


BLOCK = """
with kit.register(url="http://10.0.0.5:1"):
    say("ready")
    sys.stdin.readline()
"""
LEFT_OPEN = """
kit.register(url="http://10.0.0.5:1").__enter__()
say("ready")
sys.stdin.readline()
"""
FUNCTION = """
@kit.register(url="http://10.0.0.5:1")
def main():
    say("ready")
    time.sleep(60)
main()
"""
ASYNC = """
import asyncio
@kit.register(url="http://10.0.0.5:1")
async def main():
    say("ready")
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("program", [BLOCK, LEFT_OPEN], ids=["block", "left open"])
def test_it_is_gone_at_a_clean_exit(kit: ConfigKit, program: str) -> None:
    with process(program) as started:
        assert listed(kit) == 1
        assert ended(started) == 0
        assert listed(kit) == 0


@pytest.mark.parametrize("program", [BLOCK, FUNCTION, ASYNC], ids=["block", "function", "async function"])
def test_it_is_gone_by_sigterm_which_ends_the_process_as_ever(kit: ConfigKit, program: str) -> None:
    with process(program) as started:
        assert listed(kit) == 1
        began = time.monotonic()
        started.send_signal(signal.SIGTERM)
        assert ended(started) == -signal.SIGTERM
        assert time.monotonic() - began < 2.0
        assert listed(kit) == 0


def test_it_is_gone_when_the_programs_own_handler_ends_it(kit: ConfigKit) -> None:
    program = """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        with kit.register(url="http://10.0.0.5:1"):
            say("ready")
            time.sleep(60)
    """
    with process(program) as started:
        started.send_signal(signal.SIGTERM)
        assert ended(started) == 7
        assert listed(kit) == 0


def test_it_is_gone_when_the_program_dies_of_an_exception(kit: ConfigKit) -> None:
    with process(BLOCK.replace("sys.stdin.readline()", "sys.stdin.readline(); 1 / 0")) as started:
        errors = started.communicate(timeout=10)[1]
        assert "ZeroDivisionError" in errors
        assert listed(kit) == 0


def test_a_killed_process_is_gone_within_seven_seconds(kit: ConfigKit) -> None:
    with process(FUNCTION) as started:
        assert len(kit.services.instances("asr").items) == 1
        started.kill()
        began = time.monotonic()
        eventually(lambda: not kit.services.instances("asr").items, timeout=8)
        assert time.monotonic() - began <= 7


def test_a_forked_child_neither_deregisters_nor_ends_its_parents_registration(kit: ConfigKit) -> None:
    program = """
        with kit.register(url="http://10.0.0.5:1"):
            children = []
            for end in (lambda: sys.exit(0), lambda: os.kill(os.getpid(), signal.SIGTERM), lambda: os._exit(0)):
                child = os.fork()
                if child == 0:
                    end()
                children.append(os.waitpid(child, 0)[1])
            child = os.fork()
            if child != 0:
                children.append(os.waitpid(child, 0)[1])
                assert children[0] == 0 and os.WTERMSIG(children[1]) == signal.SIGTERM and children[3] == 0, children
                say("ready")
                sys.stdin.readline()
    """
    with process(program) as started:
        assert listed(kit) == 1
        assert ended(started) == 0
        assert listed(kit) == 0


def test_a_forked_child_registers_itself(kit: ConfigKit) -> None:
    program = """
        presence = kit.register(url="http://10.0.0.5:1", instance_id="parent")
        with presence:
            child = os.fork()
            if child == 0:
                with kit.register(url="http://10.0.0.5:2", instance_id="child"):
                    say("ready")
                    sys.stdin.readline()
                os._exit(0)
            os.waitpid(child, 0)
    """
    with process(program) as started:
        assert [one.instance_id for one in kit.backends.registry.instances("asr")] == ["child", "parent"]
        assert ended(started) == 0
        assert listed(kit) == 0


UVICORN = """
import uvicorn
from starlette.applications import Starlette
port = {port}
app = kit.register(url=f"http://127.0.0.1:{{port}}")(Starlette())
say("ready")
uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")
"""


def test_under_uvicorn_it_is_listed_once_it_serves_and_gone_by_sigterm(kit: ConfigKit) -> None:
    with process(UVICORN.format(port=free_port())) as started:
        eventually(lambda: listed(kit) == 1, timeout=10)
        started.send_signal(signal.SIGTERM)
        assert ended(started) in (0, -signal.SIGTERM)
        assert listed(kit) == 0


def test_a_paused_process_comes_back_by_itself(kit: ConfigKit) -> None:
    with process(FUNCTION) as started:
        os.kill(started.pid, signal.SIGSTOP)
        eventually(lambda: listed(kit) == 0, timeout=7)
        os.kill(started.pid, signal.SIGCONT)
        eventually(lambda: listed(kit) == 1, timeout=3)
