"""How fast known configuration is read, beside a method that does one look-up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks import timing
from configkit import testing

GET = "config.get, text"
BOUNDS = {GET: 0.40}
KEYS = tuple(f"key_{number}" for number in range(1000))


class Floor:
    """The least that answers from memory: one look-up in a method of the same signature."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002  the same signature is part of the floor
        return self._values[key]


def for_all_keys(call: Callable[[str], object], keys: tuple[str, ...] = KEYS) -> Callable[[], None]:
    def run() -> None:
        for key in keys:
            call(key)

    return run


def main() -> int:
    values = {key: f"/models/{key}" for key in KEYS}
    objects = {f"object_{number}": {"path": f"/models/{number}", "workers": [1, 2]} for number in range(1000)}
    with testing.memory({**values, **objects}) as kit:
        floor = Floor(values)
        assert [floor.get(key) for key in KEYS] == [kit.config.get(key) for key in KEYS]
        figures = timing.ratios(
            {
                "floor: one look-up": for_all_keys(floor.get),
                GET: for_all_keys(kit.config.get),
                "config.get, a small object (copied)": for_all_keys(kit.config.get, tuple(objects)),
            }
        )
    print(timing.table("Known configuration, read in the process", figures, operations=len(KEYS), bounds=BOUNDS))
    return 0 if timing.met(figures, BOUNDS) else 1


if __name__ == "__main__":
    sys.exit(main())
