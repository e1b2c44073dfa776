"""How fast flags are decided, beside a function that does only what no implementation can leave out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from mmh3 import mmh3_32_uintdigest

from benchmarks import timing
from configkit.calls import Calls
from configkit.flags import bucketing
from configkit.flags.client import Flags
from configkit.flags.compiled import compile_set
from configkit.flags.model import Flag
from configkit.flags.sets import FlagSets
from configkit.flags.snapshot import FlagSet

USERS = tuple(f"user-{number}" for number in range(1000))
IS_ENABLED = "is_enabled, 30 % rollout"
BOUNDS = {IS_ENABLED: 0.70}

FLAGS = FlagSet(
    "production",
    5,
    {
        flag.name: flag
        for flag in (
            Flag("new_ui", "production", is_enabled=True, rollout_percentage=30, version=1),
            Flag("targeted", "production", is_enabled=True, rollout_percentage=30, target_users=USERS[:100], version=2),
            Flag("everybody", "production", is_enabled=True, rollout_percentage=100, version=3),
            Flag("nobody", "production", version=4),
        )
    },
)


class OneSet:
    """A store that holds one set and answers loads only."""

    def __init__(self, loaded: FlagSet) -> None:
        self._loaded = loaded

    def load(self, environment: str, known_version: int | None = None) -> FlagSet | None:  # noqa: ARG002  the port's
        return None if known_version == self._loaded.version else self._loaded

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this store only loads: {name}")


def library(loaded: FlagSet) -> Flags:
    """Return the library's flags, with *loaded* in the process."""
    sets = FlagSets(OneSet(loaded), Calls(workers=0))
    sets.ensure(loaded.environment)
    return Flags(sets, loaded.environment)


def floor_function() -> Callable[..., bool]:
    """Return the floor: one look-up, the same bytes, the hash, a comparison, and the same signature."""
    table = {"new_ui": (bucketing.salt_prefix("new_ui"), bucketing.hash_threshold(30_000))}
    headers = tuple(bucketing.text_header(length) for length in range(256))

    def is_enabled(
        name: str,
        default: bool = False,  # noqa: ARG001  the same signature is part of the floor
        *,
        user_id: str | None = None,
        context: Mapping[str, Any] | None = None,  # noqa: ARG001
    ) -> bool:
        prefix, threshold = table[name]
        key = user_id.encode()  # type: ignore[union-attr]
        return mmh3_32_uintdigest(prefix + headers[len(key)] + key, 0) < threshold

    return is_enabled


def for_all_users(call: Callable[..., object], name: str) -> Callable[[], None]:
    def run() -> None:
        for user in USERS:
            call(name, user_id=user)

    return run


def main() -> int:
    flags = library(FLAGS)
    floor = floor_function()
    assert [floor("new_ui", user_id=user) for user in USERS] == [flags.is_enabled("new_ui", user_id=user) for user in USERS]
    compiled = compile_set(FLAGS)
    figures = timing.ratios(
        {
            "floor: look-up, CBOR, murmur3, compare": for_all_users(floor, "new_ui"),
            IS_ENABLED: for_all_users(flags.is_enabled, "new_ui"),
            "is_enabled, with 100 targeted users": for_all_users(flags.is_enabled, "targeted"),
            "is_enabled, at 100 %": for_all_users(flags.is_enabled, "everybody"),
            "is_enabled, disabled": for_all_users(flags.is_enabled, "nobody"),
            "is_enabled, unknown flag": for_all_users(flags.is_enabled, "unknown"),
            "evaluate, 30 % rollout": for_all_users(flags.evaluate, "new_ui"),
            "CompiledSet.evaluate, 30 % rollout": for_all_users(
                lambda name, user_id: compiled.evaluate(name, False, user_id), "new_ui"
            ),
        }
    )
    print(timing.table("Flags, decided in the process", figures, operations=len(USERS), bounds=BOUNDS))
    return 0 if timing.met(figures, BOUNDS) else 1


if __name__ == "__main__":
    sys.exit(main())
