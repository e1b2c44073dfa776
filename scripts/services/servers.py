"""One server: its life from the first start to the last trace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from scripts.services.places import Place, make_place, write_private
from scripts.services.processes import Process, spawn, wait
from scripts.services.provision import make_certificate
from scripts.services.recipes import Recipe

_START, _STOP = 60.0, 10.0


class ServerFailedError(Exception):
    """A server did not come up; the text has the end of its log."""


class Server:
    """
    The server that lives in *folder*, running or not.

    All that there is to know is kept in the folder, so that another process with an object of its own can go on with it.
    """

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe = recipe
        self.folder = folder.absolute()

    @property
    def name(self) -> str:
        """The kind of server."""
        return self.recipe.name

    @property
    def place(self) -> Place:
        """Its folders, ports and passwords; made at the first use."""
        shared = self.recipe.user() is not None
        return make_place(self.folder, self.recipe.ports, self.recipe.passwords, shared_folder=shared)

    @property
    def process(self) -> Process | None:
        """The process last started here, while it lives."""
        try:
            kept = json.loads((self.folder / "process.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        process = Process(kept["pid"], kept["born"])
        return process if process.alive else None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._alive().pid

    @property
    def env(self) -> dict[str, str]:
        """The variables that lead configkit to this server."""
        return self.recipe.variables(self.place)

    def start(self) -> None:
        """
        Start the server, unless it runs, and return when it is usable.

        Raises:
            MissingSoftwareError: Something is not on this machine.
            ServerFailedError: It ended or did not answer in time.
        """
        place = self.place
        try:
            if self.process is None:
                self._launch(place)
            wait(lambda: self.process is None or bool(self.recipe.state(place)), _START, f"{self.name} to answer")
            self._alive()
            self.recipe.open(place)
        except (OSError, subprocess.CalledProcessError, ServerFailedError) as error:
            log = place.log.read_text(encoding="utf-8", errors="replace")[-2000:] if place.log.exists() else ""
            raise ServerFailedError(f"{self.name} did not start: {error}\n{log}") from error

    def kill(self) -> None:
        """End it at once (SIGKILL); its data stay."""
        if (process := self.process) is not None:
            process.kill()

    def pause(self) -> None:
        """Make it hang (SIGSTOP): connections stay open and are not answered."""
        self._alive().pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._alive().resume()

    def stop(self) -> None:
        """End it properly; its data stay."""
        if (process := self.process) is not None:
            process.end(self.recipe.stop_signal, patience=_STOP)

    def restart(self) -> None:
        """Stop it, if it runs, and start it with its data, ports and passwords."""
        self.stop()
        self.start()

    def reset(self) -> None:
        """Start it anew without data; ports and passwords stay."""
        self.kill()
        self.recipe.clean(self.place)
        shutil.rmtree(self.place.data, ignore_errors=True)
        self.start()

    def remove(self) -> None:
        """End it and remove every trace of it."""
        if not (self.folder / "place.json").exists():
            return
        place = self.place
        self.stop()
        self.recipe.clean(place)
        if not place.data.is_relative_to(self.folder):
            shutil.rmtree(place.data.parent, ignore_errors=True)
        shutil.rmtree(self.folder)

    def _alive(self) -> Process:
        process = self.process
        if process is None:
            raise ServerFailedError(f"{self.name} in {self.folder} does not run")
        return process

    def _launch(self, place: Place) -> None:
        make_certificate(place.certificate, place.key)
        self.recipe.prepare(place)
        environ = {name: os.environ[name] for name in ("PATH", "JAVA_HOME") if name in os.environ} | {"LC_ALL": "C.UTF-8"}
        process = spawn(self.recipe.command(place), log=place.log, folder=place.data, user=self.recipe.user(), environ=environ)
        write_private(self.folder / "process.json", json.dumps({"pid": process.pid, "born": process.born}))
