"""Fixtures of the server's tests: each test has a server and a deployment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.deployment import Deployed, deployed, sqlite


@pytest.fixture
def server() -> Iterator[Deployed]:
    """A server on a deployment in memory, without credentials."""
    with deployed() as running:
        yield running


@pytest.fixture(params=["memory", "sqlite"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployed]:
    """A server on each kind of deployment that this machine can have."""
    with deployed(sqlite(tmp_path) if request.param == "sqlite" else None) as running:
        yield running


@pytest.fixture(scope="module")
def refusing() -> Iterator[Deployed]:
    """One server for the tests of a module that are only ever refused: that none of them leaves a trace is checked by each."""
    with deployed() as running:
        yield running
