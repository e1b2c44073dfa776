"""What an evaluation costs among ever more flags, and of a flag with ever more targeted users: `python -m benchmarks.scale`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from benchmarks import results, timing
from benchmarks.flags import library
from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagSet

SIZES = (10, 100, 1_000, 10_000, 100_000)
OF_TEN = 0.75
"""An evaluation at any size is at least that fast beside one at the smallest size."""
USERS = 1_000
ASKED = 10
"""So many flags are asked for, spread evenly over all."""
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def user_id(number: int) -> str:
    """Return a user id that is short enough for a hundred thousand of them in one flag."""
    text = ""
    while number or not text:
        number, digit = divmod(number, len(DIGITS))
        text = DIGITS[digit] + text
    return text


def among_flags(size: int) -> Callable[[], None]:
    """Return what asks for flags of a set of *size*, each at 30 %, for every user."""
    made = [Flag(f"flag-{number}", "production", is_enabled=True, rollout_percentage=30, version=1) for number in range(size)]
    flags = library(FlagSet("production", 1, {flag.name: flag for flag in made}))
    names = [flag.name for flag in made[:: size // ASKED]]
    users = [user_id(number) for number in range(USERS)]
    share = sum(flags.is_enabled(name, user_id=user) for name in names for user in users) / (len(names) * USERS)
    assert abs(share - 0.3) < 0.03, share
    return _asking(flags.is_enabled, names, users)


def among_users(size: int) -> Callable[[], None]:
    """Return what asks for a flag with *size* targeted users: as often for one of them, spread evenly over all, as for others."""
    flag = Flag("f", "production", is_enabled=True, target_users=tuple(map(user_id, range(size))), version=1)
    flags = library(FlagSet("production", 1, {"f": flag}))
    targeted = [user_id(number * size // USERS) for number in range(USERS)]
    users = [user for number, each in enumerate(targeted) for user in (each, f"-{number}")]
    assert [flags.is_enabled("f", user_id=user) for user in users] == [True, False] * USERS
    return _asking(flags.is_enabled, ["f"] * (ASKED // 2), users)


def _asking(call: Callable[..., object], names: Sequence[str], users: Sequence[str]) -> Callable[[], None]:
    def ask() -> None:
        for name in names:
            for user in users:
                call(name, user_id=user)

    return ask


SERIES = {"flags": among_flags, "targeted users": among_users}


def main() -> int:
    met, curves = True, {}
    for what, making in SERIES.items():
        print(f"making up to {SIZES[-1]:,} {what} ...", flush=True)
        figures = timing.ratios({f"{size:,}": making(size) for size in SIZES})
        bounds = dict.fromkeys(list(figures)[1:], OF_TEN)
        print(timing.table(f"By the number of {what}", figures, operations=ASKED * USERS, bounds=bounds))
        curves[what] = [(size, figures[f"{size:,}"].seconds / (ASKED * USERS)) for size in SIZES]
        met = met and timing.met(figures, bounds)
    results.keep("scale", curves)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
