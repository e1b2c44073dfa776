from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from scripts.services import Server

from configkit.backends.sql import open_postgres
from configkit.backends.sql.postgres.opening import PostgresPieces
from tests import services
from tests.databases import fresh_schema

ROOT = Path(__file__).parents[5]

Open = Callable[..., PostgresPieces]
Work = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def shared_url() -> str:
    return services.need("postgres")["DATABASE_URL"]


@pytest.fixture
def schema(shared_url: str) -> Iterator[str]:
    with fresh_schema(shared_url) as name:
        yield name


@pytest.fixture
def opened(shared_url: str, schema: str) -> Iterator[Open]:
    """Opens a schema of the test's own, as often as wanted, and closes it in the end."""
    with ExitStack() as stack:

        def open_(url: str = shared_url, **options: Any) -> PostgresPieces:
            pieces = open_postgres(url, **{"migrate": True, "role": "server", "schema": schema, **options})
            stack.callback(pieces.close)
            return pieces

        yield open_


@pytest.fixture
def pieces(opened: Open) -> PostgresPieces:
    return opened()


@pytest.fixture
def look(shared_url: str, schema: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of another program, in the test's schema."""
    with psycopg.connect(shared_url, autocommit=True, options=f"-c search_path={schema}") as connection:
        yield connection


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a module may harm, if they mend it."""
    with services.private("postgres", tmp_path_factory.mktemp("own")) as server:
        yield server


@pytest.fixture
def server(own_server: Server) -> Server:
    """The module's own server, running."""
    own_server.start()
    return own_server


@pytest.fixture
def work(shared_url: str, schema: str) -> Iterator[Work]:
    """Runs a task of the worker in a process of its own, which is killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(task: str, argument: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.unit.backends.sql.postgres.worker", task, shared_url, schema, str(argument)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
