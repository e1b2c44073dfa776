"""The command in this process, on a file of its own or at a real server on that file."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from configkit.wiring import open_kit, with_settings
from tests.cli.command import Command, database_url


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("CONFIGKIT_", "DATABASE_", "SERVICE_")) or name in {
            "NO_COLOR",
            "FORCE_COLOR",
            "SUPPORTED_ENVIRONMENTS",
        }:
            monkeypatch.delenv(name)
    monkeypatch.setenv("CONFIGKIT_DATABASE_URL", database_url(tmp_path))
    monkeypatch.setenv("CONFIGKIT_SERVICE_NAME", "asr-service")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Give the URL of a server on the test's own file."""
    from configkit_server.main import app_of
    from configkit_server.serving import serving

    settings = with_settings(None, {"mode": "embedded", "database_url": database_url(tmp_path)})
    kit = open_kit(settings, explicit=True)
    try:
        with serving(app_of(kit, settings, loopback=True)) as url:
            yield url
    finally:
        kit.close()


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Give the command on the test's own file."""
    return Command(monkeypatch, capsys)


@pytest.fixture(params=["embedded", "remote"])
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Give the command on the test's own file, and at a server."""
    if request.param == "remote":
        monkeypatch.setenv("CONFIGKIT_URL", request.getfixturevalue("server"))
    return Command(monkeypatch, capsys)
