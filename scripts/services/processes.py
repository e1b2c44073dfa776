"""Processes that outlive the command that started them, found again by pid *and* birth: a recycled pid is never touched."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process, for as long as it lives: *born* is the boot of the machine and the tick of it at which it started."""

    pid: int
    born: str

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs; one that only waits to be reaped does not."""
        return birth(self.pid) == self.born

    def family(self) -> list[Process]:
        """Return the process and all that descend from it, parents first; nothing once it is gone."""
        return _descent(self, _children()) if self.alive else []

    def send(self, sent: signal.Signals) -> None:
        """Send a signal, unless the process is gone."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sent)

    def pause(self) -> None:
        """Stop the process and its descendants where they are (SIGSTOP) and wait until no thread of them runs."""
        self.send(signal.SIGSTOP)  # first, so that it starts no more
        family = self.family()
        for process in family:
            process.send(signal.SIGSTOP)
        wait(lambda: all(_stands(process.pid) for process in family), 5, "paused processes to stand")

    def resume(self) -> None:
        """Let what was paused go on."""
        for process in reversed(self.family()):
            process.send(signal.SIGCONT)

    def kill(self) -> None:
        """End the process and its descendants at once (SIGKILL) and wait until they are gone."""
        self.send(signal.SIGSTOP)
        family = self.family()
        for process in family:
            process.send(signal.SIGKILL)
        wait(lambda: not any(process.alive for process in family), 10, "killed processes to be gone")

    def end(self, sent: signal.Signals, *, patience: float) -> None:
        """Ask the process to end; after *patience* seconds, kill it and what it left."""
        family = self.family()
        self.resume()
        self.send(sent)
        with suppress(TimeoutError):
            wait(lambda: not any(process.alive for process in family), patience, "the process to end")
        for process in family:
            process.kill()


def spawn(command: Sequence[str], *, log: Path, folder: Path, user: str | None, environ: dict[str, str]) -> Process:
    """Start *command* apart from this process's terminal and session; what it prints is added to *log*."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environ,
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            start_new_session=True,
        )
    # The child is reaped by a thread while this process lives; `birth` takes one that is ended and not reaped for gone.
    threading.Thread(target=started.wait, name=f"wait for {command[0]}", daemon=True).start()
    return Process(started.pid, birth(started.pid) or "ended at once")


def birth(pid: int) -> str | None:
    """Return when the process *pid* started, in a form to compare; None if there is none that runs."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = line.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else f"{_boot()} {fields[18]}"  # proc(5): fields 3 (state) and 22 (starttime)


def _stands(pid: int) -> bool:
    states = []
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            states.append(thread.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0])
    return set(states) <= {"T", "Z", "X"}


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                line = (entry / "stat").read_text(encoding="ascii", errors="replace")
                children.setdefault(int(line.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    return children


def _descent(process: Process, children: dict[int, list[int]]) -> list[Process]:
    found = [process]
    for pid in children.get(process.pid, ()):
        born = birth(pid)
        if born is not None:
            found += _descent(Process(pid, born), children)
    return found


def wait(ready: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as *ready* says so; raise TimeoutError, naming *what*, after *seconds*."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)
