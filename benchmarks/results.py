"""Figures of a run, kept beside each other until `benchmarks.report` makes a page of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


def keep(name: str, figures: Any) -> None:
    """Write *figures*, as JSON, for the report."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")


def kept(name: str) -> Any:
    """Return the figures of the last run; None: there was none."""
    file = FOLDER / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
