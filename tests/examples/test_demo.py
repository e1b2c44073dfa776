"""`configkit demo` does what it says, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.examples.programs import Program, running
from tests.waiting import eventually


@contextmanager
def demonstration(folder: Path) -> Iterator[Program]:
    # Variables that must not reach into it, and a proxy that answers nobody.
    foreign = {"CONFIGKIT_URL": "http://127.0.0.1:9", "CONFIGKIT_TOKEN": "ck_foreign", "http_proxy": "http://127.0.0.1:9"}
    with running(["-m", "configkit", "demo"], folder, TMPDIR=str(folder), **foreign) as program:
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
        assert program.process.wait(30) == 130
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
