"""What the documentation shows is run as it stands, and its parts fit together."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import configkit
from configkit.flags.client import Flags
from configkit.registry.discovery import Services
from docs import generate
from tests.directs import fresh_direct
from tests.docs.blocks import PAGES, ROOT, blocks, commands, curl
from tests.docs.play import WRITTEN
from tests.examples.programs import environment, serving

INTERNAL = {"after_fork", "restore", "refused", "peek", "on_event", "retry_due", "stale"}
"""What the client calls of its own parts."""


def uses_a_server(page: str) -> bool:
    return any(WRITTEN in block.text for block in blocks(page))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_every_example_of_a_page_runs_as_it_stands(page: str, tmp_path: Path) -> None:
    if uses_a_server(page):
        with serving(tmp_path) as address:
            play(page, tmp_path, address)
    else:
        play(page, tmp_path)


def play(page: str, folder: Path, *address: str) -> None:
    command = [sys.executable, "-W", "error", "-m", "tests.docs.play", page, *address]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(folder, PYTHONPATH=str(ROOT)), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.fixture(params=["embedded", "direct"])
def mode(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The variables of a server's mode: nothing for the embedded one, a new deployment on the real servers for the direct one."""
    if request.param == "embedded":
        yield {}
        return
    with fresh_direct() as variables:
        yield variables


def test_the_curl_commands_of_the_readme_answer_as_it_says(mode: dict[str, str], tmp_path: Path) -> None:
    given = [command for block in blocks("README.md") if block.language == "bash" for command in commands(block)]
    with serving(tmp_path, **mode) as address:
        answers = [send(command.replace(WRITTEN, address)) for command in given]
    (config, plain), (created, secret), (evaluated, decision), (registered, instance), (found, healthy) = answers
    assert [config, created, evaluated, registered, found] == [201, 201, 200, 201, 200]
    assert (plain["key"], plain["value"], plain["version"], plain["masked"]) == ("model_path", "/models/asr", 1, False)
    assert (secret["key"], secret["value"], secret["masked"], secret["is_encrypted"]) == ("api_key", None, True, True)
    assert (decision["enabled"], decision["reason"], decision["error_code"]) == (False, "ERROR", "FLAG_NOT_FOUND")
    assert (instance["service_name"], instance["service_url"]) == ("asr-service", "http://asr-service:8087")
    assert healthy == {"items": [], "stale": False}
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"secret_key_123" not in file.read_bytes(), file


def send(command: str) -> tuple[int, dict[str, Any]]:
    request = curl(command)
    answer = httpx2.request(request.method, request.url, headers=request.headers, content=request.body)
    return answer.status_code, answer.json()


def test_the_page_of_the_library_has_every_public_name() -> None:
    text = (ROOT / "docs/library.md").read_text(encoding="utf-8")
    assert [name for name in configkit.__all__ if not re.search(rf"\b{name}\b", text)] == []
    for part in (configkit.Config, Flags, Services):
        methods = [name for name in vars(part) if not name.startswith("_") and name not in INTERNAL]
        assert [name for name in methods if not re.search(rf"`(kit\.)?[^`]*\b{name}\b", text)] == []


def test_every_mention_of_making_a_token_is_a_command_that_runs() -> None:
    texts = [ROOT / page for page in PAGES]
    texts += [file for folder in ("src", "examples") for file in (ROOT / folder).rglob("*.py")]
    mentions = [
        (file.name, match[1])
        for file in texts
        for match in re.finditer(r"configkit token create([^`\n]*)", file.read_text(encoding="utf-8"))
    ]
    assert len(mentions) >= 6
    assert [mention for mention in mentions if not re.match(r" [A-Za-z]+ --scope [a-z]+", mention[1])] == []


def test_the_readme_has_the_two_commands_that_need_nothing_but_python() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\npython3 -m venv .venv && .venv/bin/pip install -q nox && .venv/bin/nox -s demo\n" in text
    assert "\npython3 -m venv .venv && .venv/bin/pip install -q nox && .venv/bin/nox\n" in text


def test_the_table_of_settings_is_what_the_settings_say() -> None:
    present = generate.PAGE.read_text(encoding="utf-8")
    assert generate.page(present) == present, "run: python docs/generate.py"
    assert "SERVICE_HEALTH_CHECK_INTERVAL" in present


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_pages_outside_the_site_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("http")]
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []


def test_every_page_of_the_decisions_is_listed_in_their_index_and_in_the_navigation() -> None:
    pages = sorted(page.name for page in (ROOT / "docs/adr").glob("0*.md"))
    index = (ROOT / "docs/adr/index.md").read_text(encoding="utf-8")
    navigation = (ROOT / "properdocs.yml").read_text(encoding="utf-8")
    assert len(pages) >= 11
    assert [page for page in pages if f"]({page})" not in index or f"adr/{page}" not in navigation] == []
