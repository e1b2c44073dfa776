"""Programs as somebody would start them: real processes in a folder of their own, ended whatever happens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import httpx2

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

OURS = ("CONFIGKIT_", "SERVICE_", "DATABASE_URL", "SUPPORTED_ENVIRONMENTS")
"""How the variables begin that would change what a program does."""


def environment(folder: Path, **further: str) -> dict[str, str]:
    """Return the environment of a program whose data folder is *folder*, with nothing of the caller's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*OURS, "PYTHON"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return {**kept, "PATH": path, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "PYTHONUNBUFFERED": "1", **further}


class Program:
    """A running program, whose output is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[str] = []
        self._lines: Queue[str] = Queue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self, beginning: str, *, timeout: float = 20.0) -> str:
        """Return what follows *beginning* in the next line that begins so."""
        while True:
            try:
                line = self._lines.get(timeout=timeout)
            except Empty:
                raise AssertionError(f"no line began with {beginning!r}; there were {self.seen}") from None
            self.seen.append(line)
            if line.startswith(beginning):
                return line.removeprefix(beginning)

    def end(self) -> int:
        """End it by SIGTERM, or by SIGKILL if it takes longer than ten seconds; return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it did not end by SIGTERM; it said {self.seen}") from None
        finally:
            self._reader.join(5)
            assert self.process.stdout is not None
            self.process.stdout.close()
        return code


@contextmanager
def running(arguments: Sequence[str], folder: Path, **further: str) -> Iterator[Program]:
    """Run `python ARGUMENTS` inside the block."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(folder, **further),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    program = Program(process)
    try:
        yield program
    finally:
        program.end()


@contextmanager
def serving(folder: Path, **further: str) -> Iterator[str]:
    """Run `configkit serve` on a free port inside the block, and give its address."""
    with running(["-m", "configkit", "serve", "--port", "0"], folder, **further) as program:
        yield program.line("listening on ", timeout=30.0)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def answers(url: str) -> bool:
    """Return whether a GET of *url* is answered with 2xx."""
    try:
        return httpx2.get(url, timeout=2.0).is_success
    except httpx2.HTTPError:
        return False
