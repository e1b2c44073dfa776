"""ConfigCat's Python SDK, with its configuration from a file and nothing asked for."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import configcatclient
from configcatclient.configcatoptions import ConfigCatOptions
from configcatclient.localfiledatasource import LocalFileFlagOverrides
from configcatclient.overridedatasource import OverrideBehaviour
from configcatclient.pollingmode import PollingMode
from configcatclient.user import User

from benchmarks.peers.workload import CASES, FILLERS, NAMES, RULE_COUNTRIES, TARGETED, VARIANT, VARIANTS, Candidate, candidate

IS_ONE_OF = 0


def _parts(*parts: tuple[int, Any]) -> list[dict[str, Any]]:
    return [{"p": percentage, "v": _value(value)} for percentage, value in parts]


def _value(value: Any) -> dict[str, Any]:
    return {"b": value} if isinstance(value, bool) else {"s": value}


def _setting(value: Any, **more: Any) -> dict[str, Any]:
    return {"t": 0 if isinstance(value, bool) else 1, "v": _value(value), **more}


def _among(attribute: str, values: list[str]) -> list[dict[str, Any]]:
    return [{"u": {"a": attribute, "c": IS_ONE_OF, "l": values}}]


SETTINGS = {
    "plain": _setting(True),
    "rollout": _setting(False, p=_parts((30, True), (70, False))),
    "rule": _setting(False, r=[{"c": _among("country", list(RULE_COUNTRIES)), "p": _parts((50, True), (50, False))}]),
    "targets": _setting(False, r=[{"c": _among("Identifier", list(TARGETED)), "s": {"v": _value(True)}}]),
    "variant": _setting("none", p=_parts(*((25, name) for name in VARIANTS))),
    **{
        f"filler-{number}": _setting(False, p=_parts((number % 100, True), (100 - number % 100, False)))
        for number in range(FILLERS)
    },
}


def load() -> Candidate:
    """Return ConfigCat's SDK with the workload loaded."""
    logging.getLogger("configcat").setLevel(logging.CRITICAL)
    file = Path(tempfile.mkdtemp()) / "config.json"
    file.write_text(json.dumps({"p": {"u": "", "r": 0, "s": "salt"}, "f": SETTINGS, "s": []}), encoding="utf-8")
    overrides = LocalFileFlagOverrides(str(file), OverrideBehaviour.LocalOnly)
    options = ConfigCatOptions(polling_mode=PollingMode.manual_poll(), flag_overrides=overrides)
    client = configcatclient.get("x" * 22 + "/" + "y" * 22, options)
    questions: dict[str, Any] = {case: (lambda user, name=NAMES[case]: client.get_value(name, False, user)) for case in CASES}
    questions[VARIANT] = lambda user: client.get_value("variant", "none", user)
    return candidate("configcat", lambda user, attributes: User(user, custom=attributes), questions)
