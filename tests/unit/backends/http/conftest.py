from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from configkit.backends.http import open_http
from configkit.ports import Backends
from tests.unit.backends.http.servers import Script, Server

Serve = Callable[[Script], Server]
Connect = Callable[..., Backends]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack: ExitStack) -> Serve:
    """Start a server that answers as a script says."""
    return lambda script: stack.enter_context(Server(script).running())


@pytest.fixture
def connect(stack: ExitStack) -> Connect:
    """Open backends that are closed at the end of the test."""

    def opened(url: str, **options: object) -> Backends:
        backends = open_http(url, **options)  # type: ignore[arg-type]
        stack.callback(backends.close)
        return backends

    return opened
