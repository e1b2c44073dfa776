"""One private deployment for all tests of this folder; each test leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripts.services import FleetError

from tests.faults.direct import figures
from tests.faults.direct.site import Site
from tests.faults.processes import ServerProcess
from tests.services import without


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    try:
        try:
            made.start()
        except FleetError as error:
            without(str(error))
        yield made
    finally:
        made.stop()


@pytest.fixture
def site(deployment: Site) -> Iterator[Site]:
    """The five systems, up; whatever the test does to them is mended after it."""
    deployment.mend()
    yield deployment
    deployment.mend()


@pytest.fixture(scope="session")
def _server(deployment: Site) -> Iterator[ServerProcess]:
    with deployment.serving("server") as started:
        yield started


@pytest.fixture
def server(site: Site, _server: ServerProcess) -> ServerProcess:
    """A server on the site, which goes on from test to test: none of them may end it."""
    del site
    return _server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if figures.MEASURED:
        terminalreporter.section("measured")
        for line in figures.table():
            terminalreporter.write_line(line)
