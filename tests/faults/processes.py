"""Real servers as processes of their own, on one file, that a test may kill."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2

START_SECONDS = 30.0


class ServerProcess:
    """
    `configkit serve` on a file; killed and started again as the test likes.

    Args:
        file: Its data; with *variables*, its log.
        variables: What it finds in its environment, instead of the file.
    """

    def __init__(self, file: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        self.file = file
        self.log = file.parent / "server.log" if variables is None else file
        self._arguments = arguments
        self._variables = {"CONFIGKIT_DATABASE_URL": f"sqlite:///{file}"} if variables is None else variables
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it on a free port and wait until it says that it listens."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("CONFIGKIT_")}
        env |= {**self._variables, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "configkit", "serve", "--port", "0", *self._arguments]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        for line in self._process.stdout:
            if "listening on " in line:
                self.url = line.rsplit("listening on ", 1)[1].strip()
                break
        watchdog.cancel()
        assert self.url, self.log.read_text()
        threading.Thread(target=self._drain, args=(self._process,), daemon=True).start()

    @staticmethod
    def _drain(process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for _ in output:
                pass

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Kill it with -9 and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self.url = ""

    def stop(self, seconds: float = 10.0) -> int:
        """Tell it to end, and return its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def close(self) -> None:
        """Kill it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)


@contextmanager
def servers(folder: Path, count: int = 1, *arguments: str) -> Iterator[list[ServerProcess]]:
    """Give *count* servers that share one file, started."""
    started = [ServerProcess(folder / "configkit.db", *arguments) for _ in range(count)]
    try:
        for server in started:
            server.start()
        yield started
    finally:
        for server in started:
            server.close()


def client(url: str, **options: object) -> httpx2.Client:
    """Return an HTTP client of the server at *url*."""
    return httpx2.Client(base_url=url, timeout=20.0, trust_env=False, **options)  # type: ignore[arg-type]
