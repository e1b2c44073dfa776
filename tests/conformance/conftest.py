"""Runs each case of a port on every backend that has the port, and counts them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest

from tests.conformance.backends import OPENERS, PORTS, Deployment

Opened = Callable[[str], Deployment]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", PORTS[metafunc.module.PORT], scope="session")


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """One deployment of each backend for all cases: they keep apart by the names they use."""
    deployments: dict[str, Deployment] = {}
    with ExitStack() as stack:

        def open_once(backend: str) -> Deployment:
            if backend not in deployments:
                deployments[backend] = stack.enter_context(OPENERS[backend](tmp_path_factory.mktemp(backend)))
            return deployments[backend]

        yield open_once


@pytest.fixture(scope="session")
def deployment(backend: str, opened: Opened) -> Deployment:
    return opened(backend)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What is not universal is not contract: a case that is skipped, or expected to fail, has failed."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = "no backend skips a case of the conformance suite"
        if hasattr(report, "wasxfail"):
            del report.wasxfail
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    cases = Counter(
        match[1]
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.getreports(outcome)
        if (match := re.search(r"conformance/test_\w+\.py::\w+\[(\w+)", report.nodeid)) and report.when != "teardown"
    )
    if cases:
        counted = ", ".join(f"{backend} {count}" for backend, count in sorted(cases.items()))
        terminalreporter.write_line(f"conformance: {counted}")
