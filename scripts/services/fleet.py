"""Several servers in one folder: the five that the tests share, or a private few."""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.services.kafka import Kafka
from scripts.services.places import write_private
from scripts.services.postgres import Postgres
from scripts.services.provision import OPENSSL, install_packages
from scripts.services.recipes import Recipe
from scripts.services.redis import Redis
from scripts.services.servers import Server
from scripts.services.vault import Vault, root_token
from scripts.services.zookeeper import ZooKeeper

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = CHECKOUT / ".services"
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (Postgres(), Redis(), Kafka(), ZooKeeper(), Vault())}


class FleetError(Exception):
    """One or more servers could not be had; the text says which and why."""


class Fleet:
    """The servers *names* in *folder*, which also holds the variables that lead to them in a file `env`."""

    def __init__(self, folder: Path = SHARED, names: Sequence[str] = ()) -> None:
        self.folder = folder.absolute()
        self.servers = [Server(RECIPES[name], self.folder / name) for name in names or RECIPES]

    def start(self, *, install: bool) -> None:
        """
        Start what does not run, all at once, and write `env`.

        Args:
            install: Whether to fetch what is not on this machine.

        Raises:
            FleetError: Something is missing or failed; the others run.
        """
        with self._alone():
            if install:
                install_packages(program for server in self.servers for program in (OPENSSL, *server.recipe.programs))
            try:
                self._each(lambda server: _start(server, install=install))
            finally:
                self._write_env()

    def stop(self) -> None:
        """End the servers and remove their data; the folder too, once it is empty of servers."""
        if not self.folder.exists():
            return
        with self._alone():
            self._each(Server.remove)
            if any((self.folder / name).exists() for name in RECIPES):
                self._write_env()
            else:
                for name in ("env", "vault-root-token", "lock"):
                    (self.folder / name).unlink(missing_ok=True)
                with suppress(OSError):  # somebody else's files stay
                    self.folder.rmdir()

    def reset(self) -> None:
        """Start the running servers anew without data, with the same ports and passwords."""
        with self._alone():
            self._each(lambda server: server.reset() if server.process else None)
            self._write_env()

    def _each(self, act: Callable[[Server], object]) -> None:
        failures = []
        with ThreadPoolExecutor(len(self.servers)) as pool:
            for server, done in [(server, pool.submit(act, server)) for server in self.servers]:
                if (error := done.exception()) is not None:
                    failures.append(f"{server.name}: {error}")
        if failures:
            raise FleetError("\n".join(failures))

    def _write_env(self) -> None:
        found: dict[str, str] = {}
        for name, recipe in RECIPES.items():
            server = Server(recipe, self.folder / name)
            if server.process is not None:
                found |= server.env
        template = (CHECKOUT / "env.template").read_text(encoding="utf-8")
        vault, token = Server(RECIPES["vault"], self.folder / "vault"), self.folder / "vault-root-token"
        token.unlink(missing_ok=True)
        if vault.process is not None:
            write_private(token, root_token(vault.place))
        write_private(self.folder / "env", env_text(template, {"CONFIGKIT_MODE": "direct", **found}))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        while True:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not _is_at(lock.fileno(), self.folder / "lock"):
                    continue  # whoever had it has removed the folder
                yield
                return


@contextmanager
def private(name: str, folder: Path) -> Iterator[Server]:
    """
    Run a server of one's own in *folder*, to do harm to, and remove it afterwards.

    Raises:
        MissingSoftwareError: It is not on this machine; nothing is installed here.
    """
    server = Server(RECIPES[name], folder / name)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def env_text(template: str, values: dict[str, str]) -> str:
    """Return a file for the shell: every variable of *template*, with *values* in the place of its defaults, and the rest."""
    return "".join(f"{name}={shlex.quote(value) if value else ''}\n" for name, value in {**read_env(template), **values}.items())


def read_env(text: str) -> dict[str, str]:
    """Return the variables of a file that `env_text` wrote, or of env.template."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: "".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _start(server: Server, *, install: bool) -> None:
    if install and server.process is None:
        server.recipe.install()
    server.start()


def rows(servers: Iterable[Server]) -> list[tuple[str, str, str, str]]:
    """Return, for each server: its name, its state, its pid and its ports."""
    found = []
    for server in servers:
        process = server.process
        if process is None:
            found.append((server.name, "down", "-", "-"))
            continue
        state = server.recipe.state(server.place) or "does not answer"
        ports = ", ".join(f"{name} {port}" for name, port in server.place.ports.items())
        found.append((server.name, state, str(process.pid), ports))
    return found
