"""A flag store to steer: it can be held, made to fail, and set back."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from configkit.errors import ConflictError, NotFoundError
from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagChanges, FlagSet
from configkit.models import Origin, Page

ENVIRONMENT = "production"


class SteeredStore:
    """
    Flags of one environment in memory.

    Attributes:
        failure: What every load raises, if anything.
        held: While it is set to a fresh `threading.Event`, a load that has read waits for it before it answers.
        loads: The known versions that loads came with.
        under_way, most_under_way: Loads at one time.
    """

    def __init__(self, *flags: Flag) -> None:
        self._lock = threading.Lock()
        self._flags: dict[str, Flag] = {}
        self.version = 0
        self.failure: Exception | None = None
        self.held: threading.Event | None = None
        self.loads: list[int | None] = []
        self.under_way = self.most_under_way = 0
        for flag in flags:
            self.put(flag)

    def put(self, flag: Flag) -> Flag:
        with self._lock:
            self.version += 1
            kept = self._flags[flag.name] = replace(flag, version=self.version)
            return kept

    def set_back(self, version: int, *flags: Flag) -> None:
        """Be as if a backup had been restored."""
        with self._lock:
            self.version = version
            self._flags = {flag.name: flag for flag in flags}

    def load(self, environment: str, known_version: int | None = None) -> FlagSet | None:
        with self._lock:
            self.loads.append(known_version)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            read = FlagSet(environment, self.version, dict(self._flags))
            held = self.held
        try:
            if held is not None:
                assert held.wait(10)
            if self.failure is not None:
                raise self.failure
            return None if read.version == known_version else read
        finally:
            with self._lock:
                self.under_way -= 1

    def changes(self, environment: str, since: int) -> FlagChanges | None:
        """Tell nothing, so that whole sets are loaded."""
        return None

    def read(self, environment: str, name: str) -> Flag:
        if name not in self._flags:
            raise NotFoundError(name)
        return self._flags[name]

    def list(
        self, *, environments: frozenset[str] | None = None, enabled: bool | None = None, limit: int, offset: int = 0
    ) -> Page[Flag]:
        items = tuple(self._flags.values())
        return Page(items, len(items), limit, offset)

    def create(self, flag: Flag, *, origin: Origin) -> Flag:
        if flag.name in self._flags:
            raise ConflictError("there already", expected=0, actual=self._flags[flag.name].version)
        return self.put(flag)

    def update(
        self, environment: str, name: str, changes: Mapping[str, Any], *, origin: Origin, expected_version: int | None = None
    ) -> Flag:
        flag = self.read(environment, name)
        if expected_version not in (None, flag.version):
            raise ConflictError("changed since", expected=expected_version, actual=flag.version)
        return self.put(flag.with_changes(changes))

    def delete(self, environment: str, name: str, *, origin: Origin, expected_version: int | None = None) -> None:
        self.read(environment, name)
        with self._lock:
            self.version += 1
            del self._flags[name]


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def until(self, condition: Callable[[], object], *, step: Callable[[], None], seconds: float) -> float:
        """Let time pass in quarter seconds with *step* after each until *condition* holds; return how much passed."""
        passed = 0.0
        while not condition():
            assert passed < seconds, f"not within {seconds} s"
            passed += 0.25
            self.now += 0.25
            step()
        return passed
