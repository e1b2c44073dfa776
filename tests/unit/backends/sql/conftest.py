from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from configkit.backends.sql import open_sqlite
from configkit.ports import Backends

ROOT = Path(__file__).parents[4]

Open = Callable[..., Backends]
Work = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "configkit.db"


@pytest.fixture
def opened(file: Path) -> Iterator[Open]:
    """Opens the file, as often as wanted, and closes it in the end."""
    with ExitStack() as stack:

        def open_(path: Path = file, **options: Any) -> Backends:
            backends = open_sqlite(str(path), **{"master_key": None, **options})
            stack.callback(backends.close)
            return backends

        yield open_


@pytest.fixture
def backends(opened: Open) -> Backends:
    return opened()


@pytest.fixture
def work(file: Path) -> Iterator[Work]:
    """Runs a task of the worker in a process of its own, which is killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(task: str, argument: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.unit.backends.sql.worker", task, str(file), str(argument)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
