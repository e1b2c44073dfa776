"""What `configkit demo` shows, step by step: real processes on this machine, all gone afterwards."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from configkit.backends.http import open_http
from configkit.cli.stage import Process, Stage, ask
from configkit.cli.worlds import World
from configkit.client import ConfigKit
from configkit.errors import ConfigKitError, NotFoundError

USERS = 10_000
SHARE = 25.0
SECRET = "secret_key_123"  # noqa: S105  the one that the documentation shows
ENVIRONMENT = "development"
_BAR = 50

_SERVICE_FILE = "asr_service.py"


def run(screen: Console, world: World) -> int:
    """
    Show everything on *screen*, on *world*, and return 0.

    Raises:
        ConfigKitError: Something did not go as it should; the message says what. Nothing is left behind then either.
    """
    begun = time.monotonic()
    screen.print(world.begin, soft_wrap=True)
    with Stage(screen, world.remove) as stage:
        _Demonstration(stage, world).show()
    took = time.monotonic() - begun
    screen.print(f"\n[bold green]All of it worked, in {took:.0f} s.[/] {world.end}", soft_wrap=True)
    return 0


class _Demonstration:
    def __init__(self, stage: Stage, world: World) -> None:
        self._stage = stage
        self._say = stage.say
        self._world = world
        self._service = world.service
        self._server = ""
        self._services: dict[str, Process] = {}

    def show(self) -> None:
        self._start_server()
        self._write_configuration()
        self._start_services()
        # The client is made of its parts: the caller's own CONFIGKIT_ variables must not reach into the demonstration.
        with ConfigKit(
            open_http(self._server, token=None, deadline=5.0), service_name=self._service, environment=ENVIRONMENT
        ) as kit:
            self._read_configuration(kit)
            self._evaluate(kit)
            self._change()
            self._kill(kit)
        self._leave()

    # -- the steps -----------------------------------------------------------------------------------------------------

    def _start_server(self) -> None:
        self._stage.step(f"A server, {self._world.where}")
        settings = {**self._world.server(self._stage.folder), "SERVICE_HEALTH_CHECK_INTERVAL": "1"}
        server = self._stage.start("server", ["-m", "configkit", "serve", "--port", "0"], settings)
        self._server, took = self._stage.wait("the server starts", lambda: server.said("listening on "), watch=server)
        self._say(f"configkit serve (process {server.pid}) listens on {self._server} after {took:.1f} s")

    def _write_configuration(self) -> None:
        self._stage.step("A value, a secret and a flag, over REST")
        config = {"key": "model_path", "value": "/models/asr", "environment": ENVIRONMENT, "service_name": self._service}
        stored = self._post("/api/v1/config", config)
        self._say(f"model_path = {stored['value']} is stored as version {stored['version']}")
        secret = {
            "key": "api_key",
            "value": SECRET,
            "environment": "production",
            "service_name": self._service,
            "is_encrypted": True,
        }
        stored = self._post("/api/v1/config", secret)
        _expect(stored["value"] is None and stored["masked"], "the answer to a secret masks it")
        _expect(not self._leaked(), "no file has the secret's text")
        self._say(f"api_key is a secret: the answer masks it, and its text is in no file of the server{self._world.elsewhere}")
        flag = {"name": "new_ui", "environment": ENVIRONMENT, "is_enabled": True, "rollout_percentage": SHARE}
        self._post("/api/v1/feature-flags", flag)
        self._say(f"the flag new_ui is on for {SHARE:g} % of the users")

    def _start_services(self) -> None:
        self._stage.step("Two services that register themselves, with @kit.register")
        program = str(service_program())
        reached = [self._world.member(n, self._server) for n in (1, 2)]
        command = [program, "--name", self._service]
        started = [self._stage.start(f"asr-service {n}", command, settings) for n, (_, settings) in enumerate(reached, 1)]
        for process in started:
            said = partial(process.said, "asr-service listens on ")
            url, _ = self._stage.wait(f"{process.name} starts", said, watch=process)
            self._services[url] = process
        self._stage.wait("both are found and healthy", lambda: self._discovered() == set(self._services))
        for url, process in self._services.items():
            how = reached[started.index(process)][0]
            self._say(f"{process.name} (process {process.pid}){how} is registered and healthy at {url}")

    def _read_configuration(self, kit: ConfigKit) -> None:
        self._stage.step("The library reads configuration and finds services")
        _expect(kit.config.get("model_path") == "/models/asr", "the library reads the value")
        self._say(f"kit.config.get('model_path') is {kit.config.get('model_path')}")
        reads = 100_000
        begun = time.perf_counter()
        for _ in range(reads):
            kit.config.get("model_path")
        each = (time.perf_counter() - begun) / reads
        self._say(f"from memory, without a lock or the network: {each * 1e9:.0f} ns each")
        turns = {kit.services.url(self._service) for _ in range(4)}
        _expect(turns == set(self._services), "calls are balanced over both services")
        self._say(f"kit.services.url('{self._service}') gives both services in turn")

    def _evaluate(self, kit: ConfigKit) -> None:
        self._stage.step(f"The flag, decided in this process for {USERS:,} users")
        users = [f"user-{number}" for number in range(USERS)]
        begun = time.perf_counter()
        enabled = sum(kit.flags.is_enabled("new_ui", user_id=user) for user in users)
        took = time.perf_counter() - begun
        percentage = 100 * enabled / USERS
        _expect(abs(percentage - SHARE) < 2, f"about {SHARE:g} % of the users get the flag")
        self._say(f"{self._stage.bar(percentage / 100, _BAR)} {percentage:.2f} %")
        self._say(f"{enabled:,} of {USERS:,} users get it; {took * 1e6 / USERS:.2f} µs for each, and always the same ones")
        service = next(iter(self._services))
        same = all(
            ask("GET", f"{service}/transcribe?user_id={user}")["new_ui"] is kit.flags.is_enabled("new_ui", user_id=user)
            for user in users[:50]
        )
        _expect(same, "the service decides as this process does")
        self._say("a service, asked for fifty of them, decides the same about every one")

    def _change(self) -> None:
        self._stage.step("A change arrives in the running services")
        before = {url: ask("GET", f"{url}/settings")["model_path"] for url in self._services}
        _expect(set(before.values()) == {"/models/asr"}, "both services have the value of before")
        arrived: dict[str, float] = {}

        def everywhere() -> bool:
            for url in self._services:
                if url not in arrived and ask("GET", f"{url}/settings")["model_path"] == "/models/asr-2":
                    arrived[url] = time.monotonic()
            return len(arrived) == len(self._services)

        begun = time.monotonic()
        path = f"/api/v1/config/model_path?environment={ENVIRONMENT}&service_name={self._service}"
        stored = ask("PUT", f"{self._server}{path}", {"value": "/models/asr-2", "comment": "a better model"})
        self._say(f"model_path = {stored['value']} is written as version {stored['version']}")
        self._stage.wait("both services have it", everywhere, every=0.002)
        for url, process in self._services.items():
            self._say(f"{process.name} has it {(arrived[url] - begun) * 1000:.0f} ms after it was sent")

    def _kill(self, kit: ConfigKit) -> None:
        self._stage.step("A service is killed, and leaves by itself")
        victim, process = next(iter(self._services.items()))
        [survivor] = set(self._services) - {victim}
        process.kill()
        begun = time.monotonic()
        self._say(f"kill -9 {process.pid}: {process.name} had no chance to say goodbye")
        self._stage.wait("discovery names it no more", lambda: victim not in self._discovered(), seconds=15)
        self._say(f"discovery names only the other one, {time.monotonic() - begun:.1f} s later")
        self._stage.wait("its lease ends", lambda: victim not in self._listed(), seconds=15)
        self._say(f"its lease has ended and it is off the list, {time.monotonic() - begun:.1f} s after it was killed")
        self._stage.wait("the library knows", lambda: {kit.services.url(self._service) for _ in range(4)} == {survivor})
        self._say("the library calls only the survivor")
        del self._services[victim]

    def _leave(self) -> None:
        [(url, process)] = self._services.items()
        code = process.end()
        self._stage.wait("it has left", lambda: url not in self._listed(), seconds=2)
        self._say(f"{process.name} was ended by SIGTERM (exit {code}): it has left at once")
        _expect(not self._leaked(), "no file and no log has the secret's text")
        self._say("and the secret's text is still in no file, the logs of all three included")

    # -- what they use -------------------------------------------------------------------------------------------------

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return ask("POST", f"{self._server}{path}", body)

    def _discovered(self) -> set[str]:
        return {item["service_url"] for item in ask("GET", f"{self._server}/api/v1/registry/discover/{self._service}")["items"]}

    def _listed(self) -> set[str]:
        return {item["service_url"] for item in ask("GET", f"{self._server}/api/v1/registry/services/{self._service}")["items"]}

    def _leaked(self) -> bool:
        in_files = any(SECRET.encode() in file.read_bytes() for file in self._stage.folder.rglob("*") if file.is_file())
        return in_files or self._world.has(SECRET)


def service_program() -> Path:
    """
    Return the program of the services: the example, which the installed package brings along.

    Raises:
        NotFoundError: It is neither there nor in a source tree.
    """
    beside = Path(__file__).with_name(_SERVICE_FILE)
    candidates = (beside, Path(__file__).parents[3] / "examples" / _SERVICE_FILE)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise NotFoundError(f"{beside} is missing; install configkit anew")


def _expect(holds: object, what: str) -> None:
    if not holds:
        raise ConfigKitError(f"the demonstration failed: it was expected that {what}")
