"""Running the command, in this process or as one of its own."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from configkit.cli import main
from tests.waiting import eventually

PROGRAM = (sys.executable, "-m", "configkit")


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'configkit.db'}"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """The command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, stdin: str | bytes = b"") -> Done:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        self._capsys.readouterr()
        code = main(arguments)
        said = self._capsys.readouterr()
        return Done(code, said.out, said.err)

    def ok(self, *arguments: str, stdin: str | bytes = b"") -> Done:
        done = self(*arguments, stdin=stdin)
        assert done.code == 0, done.err
        return done


def run(*arguments: str, stdin: str = "", timeout: float = 30.0) -> Done:
    """Run the command as a process of its own."""
    done = subprocess.run((*PROGRAM, *arguments), input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(*arguments: str, log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command as a process of its own that writes to *log*; whatever happens, it does not stay."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            (*PROGRAM, *arguments), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, **options
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def line_of(log: Path, beginning: str, timeout: float = 20.0) -> str:
    """Return what follows *beginning* on the line of *log* that begins so, once there is one."""

    def found() -> str:
        lines = log.read_text().split("\n")[:-1]
        return next((line for line in lines if line.startswith(beginning)), "")

    return eventually(found, timeout=timeout).removeprefix(beginning)
