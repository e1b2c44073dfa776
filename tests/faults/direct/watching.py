"""A service in use: what it reads all the time while systems come and go, and how soon everything works again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from configkit.client import ConfigKit
from tests.faults.direct.site import Api, Site, fresh_name
from tests.faults.processes import ServerProcess
from tests.waiting import eventually

EVERY_SECONDS = 0.02


@dataclass
class Story:
    """
    A service whose configuration, flag and instances are known to a library and to a server.

    Attributes:
        wrong: What reads of known things brought that they must not: errors, empty lists, values that never were.
        slowest: The slowest of each kind of read, in seconds.
    """

    site: Site
    kit: ConfigKit
    api: Api
    flag: str
    wrong: list[str] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def _number(self) -> int:
        self.count += 1
        return self.count

    def seconds_to_converge(self, *, limit: float = 20.0) -> float:
        """
        Return how long it takes from now until all is as it should be: a change of a value and of a flag through the
        server is accepted and seen by the library, both see all instances, and the server is ready.
        """
        began = time.monotonic()
        value, on = self._number(), bool(self.count % 2)
        eventually(lambda: self.api.put("k", value).status_code == 200, timeout=limit, every=0.05)
        eventually(lambda: self.api.set_flag(self.flag, on=on).status_code == 200, timeout=limit, every=0.05)
        eventually(lambda: self.kit.config.get("k", default=None) == value, timeout=limit)
        eventually(lambda: self.kit.flags.is_enabled(self.flag, user_id="u1") is on, timeout=limit)
        eventually(self._all_listed, timeout=limit)
        eventually(self.api.ready, timeout=limit, every=0.05)
        return time.monotonic() - began

    def _all_listed(self) -> bool:
        listed = self.kit.services.instances(self.api.service)
        answer = self.api.instances()
        ids = {one.instance_id for one in listed.items}
        shown = {one["instance_id"] for one in answer.json()["items"]} if answer.status_code == 200 else set()
        fresh = not listed.stale and not answer.json().get("stale", True)
        return fresh and ids == shown == {"own", "rest"}

    def reads(self, *, instances: bool = True) -> dict[str, Callable[[], object]]:
        """Return the reads of what is known; each returns what is wrong about its answer."""

        def listed() -> object:
            return None if self.kit.services.instances(self.api.service).items else "an empty list"

        def served_list() -> object:
            answer = self.api.instances()
            return None if answer.status_code == 200 and answer.json()["items"] else answer.text

        def served_value() -> object:
            answer = self.api.get("k")
            return None if answer.status_code == 200 and isinstance(answer.json()["value"], int) else answer.text

        def served_flag() -> object:
            answer = self.api.evaluate(self.flag)
            return None if answer.status_code == 200 and answer.json()["reason"] != "ERROR" else answer.text

        found: dict[str, Callable[[], object]] = {
            "library value": lambda: None if isinstance(self.kit.config.get("k", default=None), int) else "no value",
            "library flag": lambda: None if self.kit.flags.evaluate(self.flag, user_id="u1").error_code is None else "an error",
            "server value": served_value,
            "server flag": served_flag,
        }
        return found | ({"library list": listed, "server list": served_list} if instances else {})

    @contextmanager
    def in_use(self, *, instances: bool = True) -> Iterator[None]:
        """Read all the time inside the block."""
        over = threading.Event()
        reads = self.reads(instances=instances)

        def read() -> None:
            while not over.wait(EVERY_SECONDS):
                for name, one in reads.items():
                    self._read(name, one)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(30)

    def _read(self, name: str, read: Callable[[], object]) -> None:
        began = time.monotonic()
        try:
            wrong = read()
        except Exception as error:  # noqa: BLE001  that is what is looked for
            wrong = repr(error)
        self.slowest[name] = max(self.slowest.get(name, 0.0), time.monotonic() - began)
        if wrong is not None:
            self.wrong.append(f"{name}: {wrong}")


@contextmanager
def story(site: Site, server: ServerProcess, *, proxied: bool = False) -> Iterator[Story]:
    """Give a service in use on *server*; *proxied*: its library reaches the systems through the proxies."""
    service = fresh_name()
    with ExitStack() as stack:
        api = Api(server.url, service)
        stack.callback(api.close)
        assert api.create("k", 0).status_code == 201
        assert api.create_flag(service, on=False).status_code == 201
        assert api.register("rest").status_code == 201
        kit = stack.enter_context(site.library(service, proxied=proxied))
        stack.enter_context(kit.register(url="http://10.0.0.6:8087", instance_id="own"))
        told = Story(site, kit, api, service)
        told.seconds_to_converge()
        yield told
