"""Where the demonstration happens: processes and a folder that are gone afterwards, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from rich.console import Console

from configkit.errors import ConfigKitError
from configkit.settings import Settings

T = TypeVar("T")

PATIENCE = 2.0
"""After so many seconds a person wants to know what is waited for."""
END_SECONDS = 5.0
ANSWER_SECONDS = 10.0

# A proxy that the caller uses for other things has no business on loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(method: str, url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Send a request to a program on this machine and return the JSON of its answer.

    Raises:
        ConfigKitError: It did not answer, or not with 2xx.
    """
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=content, method=method, headers={"Content-Type": "application/json"})  # noqa: S310
    try:
        with _OPENER.open(request, timeout=ANSWER_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        with error:
            detail = error.read(2000).decode("utf-8", "replace")
        raise ConfigKitError(f"{method} {url} was answered with {error.code}: {detail}") from None
    except OSError as error:
        raise ConfigKitError(f"{method} {url} was not answered: {error}") from None


class Process:
    """A program of the demonstration; what it prints goes into a file."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as stream:
            # A session of its own: Ctrl-C reaches the demonstration, which then ends its programs in order.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, *arguments],
                cwd=log.parent,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.poll() is not None

    def said(self, beginning: str) -> str | None:
        """Return the rest of the first line it printed that begins so; None: none yet."""
        for line in self.text().splitlines(keepends=True):
            if line.startswith(beginning) and line.endswith("\n"):
                return line.removeprefix(beginning).strip()
        return None

    def text(self) -> str:
        """Return everything it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End it without any warning."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """End it in order, or after five seconds without; return its exit code, which is negative for a signal."""
        if not self.ended:
            self._process.terminate()
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.returncode


class Stage:
    """
    A temporary folder and the processes in it, for the length of a ``with`` block.

    Args:
        remove: Called in the end, whatever happened, when the processes have ended.

    Attributes:
        folder: Where the processes run and keep what they have.
    """

    def __init__(self, screen: Console, remove: Callable[[], None]) -> None:
        self._screen = screen
        self._remove = remove
        self._processes: list[Process] = []
        self._signals = ExitStack()
        self._steps = 0

    def __enter__(self) -> Self:
        self._signals.enter_context(_orderly_end())
        self.folder = Path(tempfile.mkdtemp(prefix="configkit-demo-"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._signals, _undisturbed():
            if isinstance(error, Exception):
                self._show_logs()
            for process in reversed(self._processes):
                process.end()
            shutil.rmtree(self.folder, ignore_errors=True)
            self._remove()

    def step(self, title: str) -> None:
        """Begin the next step."""
        self._steps += 1
        self._screen.print(f"\n[bold]{self._steps}  {title}[/]")

    def say(self, text: str) -> None:
        """Tell what happened."""
        self._screen.print(f"   {text}", markup=False, soft_wrap=True)

    def bar(self, share: float, width: int) -> str:
        """Return a bar of *width* characters that is filled to *share*."""
        full, empty = ("█", "░") if (self._screen.encoding or "").lower().startswith("utf") else ("#", ".")
        filled = round(share * width)
        return full * filled + empty * (width - filled)

    def start(self, name: str, arguments: Sequence[str], settings: Mapping[str, str]) -> Process:
        """Start `python ARGUMENTS` with these settings (without their prefix) and none of the caller's."""
        environment = {variable: value for variable, value in os.environ.items() if variable not in _variables()}
        environment |= {f"CONFIGKIT_{setting}": value for setting, value in settings.items()}
        environment |= {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
        with _undisturbed() as noted:
            process = Process(name, arguments, environment, self.folder / f"{name.replace(' ', '-')}.log")
            self._processes.append(process)
        if noted:
            signal.raise_signal(noted[0])
        return process

    def wait(
        self,
        what: str,
        until: Callable[[], T | None],
        *,
        seconds: float = 30.0,
        every: float = 0.02,
        watch: Process | None = None,
    ) -> tuple[T, float]:
        """
        Wait until *until* answers something true; return it and how many seconds that took.

        Args:
            what: What is waited for, as a sentence; it is shown after two seconds.
            watch: A process that must not end meanwhile.

        Raises:
            ConfigKitError: It took longer than *seconds*, or *watch* has ended.
        """
        begun = time.monotonic()
        with ExitStack() as shown:
            patient = True
            while not (found := until()):
                waited = time.monotonic() - begun
                if watch is not None and watch.ended:
                    raise ConfigKitError(f"it was waited until {what}, but {watch.name} has ended")
                if waited > seconds:
                    raise ConfigKitError(f"it was waited until {what}, but not for longer than {seconds:.0f} s")
                if patient and waited > PATIENCE:
                    patient = False
                    self._show_waiting(what, shown)
                time.sleep(every)
        return found, time.monotonic() - begun

    def _show_waiting(self, what: str, shown: ExitStack) -> None:
        if self._screen.is_terminal:
            shown.enter_context(self._screen.status(f"waiting until {what}"))
        else:
            self.say(f"... waiting until {what}")

    def _show_logs(self) -> None:
        for process in self._processes:
            lines = process.text().splitlines()[-15:]
            self._screen.print(f"\n[bold]{process.name}[/] said last:" if lines else f"\n[bold]{process.name}[/] said nothing")
            for line in lines:
                self.say(line)


def _variables() -> frozenset[str]:
    """Return the names of all environment variables that configkit reads."""
    found: set[str] = set()
    for field in Settings.model_fields.values():
        choices = getattr(field.validation_alias, "choices", ())
        found.update(choice for choice in choices if isinstance(choice, str))
    return frozenset(found)


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Make SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that nothing is left behind."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with _handling(leave, signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def _undisturbed() -> Iterator[list[signal.Signals]]:
    """Only note the signals that would end the process: no program may be started and then forgotten, or not be ended."""
    noted: list[signal.Signals] = []
    with _handling(lambda number, _: noted.append(signal.Signals(number)), signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield noted


@contextmanager
def _handling(action: Callable[[int, FrameType | None], object], *numbers: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, action) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
