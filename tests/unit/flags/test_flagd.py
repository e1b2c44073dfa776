"""Bucketing is bit for bit flagd's: twenty thousand decisions beside its reference implementation."""

from __future__ import annotations

import random
from typing import Any

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

from configkit.flags.compiled import compile_set
from configkit.flags.model import Flag
from configkit.flags.snapshot import FlagSet

FLAGS, KEYS = 40, 500
ALPHABETS = ("abcdefghijklmnopqrstuvwxyz0123456789-_@.", "äöüßéñ日本語русский", "\U0001f600\U0001f680 \n\t'\"\\")


def _key(chance: random.Random) -> str:
    alphabet = chance.choice(ALPHABETS)
    length = chance.choice((1, 5, 23, 24, 25, 40, 255, 256, 300)) if chance.random() < 0.3 else chance.randint(1, 40)
    return "".join(chance.choice(alphabet) for _ in range(length))


def _weights(chance: random.Random, number: int) -> list[int]:
    largest = chance.choice((1, 100, 100_000, (2**31 - 1) // number))
    return [chance.randint(0, largest) for _ in range(number - 1)] + [chance.randint(1, largest)]


def test_twenty_thousand_decisions_are_flagds() -> None:
    chance = random.Random(20_000)
    ours: dict[str, Flag] = {}
    theirs: dict[str, Any] = {}
    for number in range(FLAGS):
        variants = [f"v{index}" for index in range(chance.randint(2, 6))]
        weights = _weights(chance, len(variants))
        name, salt = f"flag-{number}", None if number % 2 else _key(chance)[:200]
        split = [{"variant": each, "weight": weight} for each, weight in zip(variants, weights, strict=True)]
        values = {each: each.upper() for each in variants}
        ours[name] = Flag(name, "production", is_enabled=True, variants=values, split=split, salt=salt)
        pairs: list[Any] = [[each, weight] for each, weight in zip(variants, weights, strict=True)]
        # flagd hashes the flag's name, which a salt of ours takes the place of.
        theirs[salt or name] = {
            "state": "ENABLED",
            "variants": values,
            "defaultVariant": variants[0],
            "targeting": {"fractional": pairs},
        }
    compiled = compile_set(FlagSet("production", 1, ours))
    flagd = FlagdCore()
    flagd.set_flags({"flags": theirs})
    differing = []
    for name, flag in ours.items():
        for _ in range(KEYS):
            key = _key(chance)
            wanted = flagd.resolve_string_value(flag.salt or name, "none", EvaluationContext(key)).variant
            if compiled.evaluate(name, "none", key).variant != wanted:
                differing.append((name, key, wanted))
    assert differing == []
