"""
Fixtures of the server's tests: each test has a server and a deployment of its own.

The whole suite runs twice: on a deployment of this process or an SQLite file, and on the five real servers (`direct`).
A test that brings its own backends, or is about a part that has none, is marked `once`, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import services
from tests.directs import SERVERS
from tests.server.deployment import Deployed, deployed, deploying, sqlite


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "once(reason): not repeated on the real servers")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("once") is None:
        kinds = ["memory", "sqlite", "direct"] if "either" in metafunc.fixturenames else ["memory", "direct"]
        metafunc.parametrize("kind", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """What the servers of the test run on, where it does not say so itself."""
    chosen: str = getattr(request, "param", "memory")
    if chosen == "direct":
        services.need(*SERVERS)
    with deploying(chosen):
        yield chosen


@pytest.fixture
def server() -> Iterator[Deployed]:
    """A server on a new deployment, without credentials."""
    with deployed() as running:
        yield running


@pytest.fixture
def either(kind: str, tmp_path: Path) -> Iterator[Deployed]:
    """A server on each kind of deployment that this machine can have."""
    with deployed(sqlite(tmp_path) if kind == "sqlite" else None) as running:
        yield running


@pytest.fixture(scope="module")
def refusing(kind: str) -> Iterator[Deployed]:
    """One server for the tests of a module that are only ever refused: that none of them leaves a trace is checked by each."""
    with deployed() as running:
        yield running
