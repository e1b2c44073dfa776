"""fast-feature's own application, with the flags of the OFREP benchmark: started by `benchmarks.peers.fastfeature`."""

from __future__ import annotations

from typing import Any

from fast_feature.core import Flag
from fast_feature.ofrep import OfrepRouter
from fast_feature.storage.inmemory import InMemoryFlagRepository
from fastapi import FastAPI

from benchmarks.ofrep import FLAGS


def _flag(number: int) -> Flag:
    share: dict[str, Any] = {"fractional": [["on", 30], ["off", 70]]}
    half: dict[str, Any] = {"fractional": [["on", 50], ["off", 50]]}
    rule: dict[str, Any] = {"if": [{"in": [{"var": "country"}, ["DE", "AT"]]}, half, "off"]}
    return Flag(
        key=f"flag-{number}",
        variants={"on": True, "off": False},
        default_variant="on" if number % 3 == 0 else "off",
        targeting=(None, share, rule)[number % 3],
    )


app = FastAPI()
app.include_router(OfrepRouter.build(InMemoryFlagRepository([_flag(number) for number in range(FLAGS)])))
