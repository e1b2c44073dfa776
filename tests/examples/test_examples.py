"""Every example is a program that runs as it stands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

import configkit
from tests.examples.programs import EXAMPLES, OURS, answers, free_port, running, serving
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def ask(url: str) -> Any:
    answer = httpx2.get(url, timeout=5.0)
    assert answer.status_code == 200, answer.text
    return answer.json()


def asr_service() -> list[str]:
    return [str(EXAMPLES / "asr_service.py"), "--port", "0"]


def test_the_service_is_registered_while_it_runs_and_follows_configuration_and_flag(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIGKIT_SERVICE_HEALTH_CHECK_INTERVAL="1") as server, configkit.connect(server) as kit:
        asr = configkit.ConfigPath("development", "asr-service", "model_path")
        kit.documents.create(asr, "/models/asr", is_encrypted=False, origin=kit.origin)
        with running(asr_service(), tmp_path, CONFIGKIT_URL=server) as program:
            url = program.line("asr-service listens on ")
            eventually(lambda: kit.services.healthy("asr-service").items, timeout=15.0)
            assert kit.services.url("asr-service") == url
            assert ask(f"{url}/settings") == {"model_path": "/models/asr", "beam_size": 5}
            assert ask(f"{url}/transcribe?user_id=u1") == {"model": "/models/asr", "beam_size": 5, "new_ui": False}

            kit.documents.update(asr, "/models/asr-2", origin=kit.origin)
            kit.flags.create("new_ui", is_enabled=True, target_users=["u1"])
            eventually(lambda: ask(f"{url}/settings")["model_path"] == "/models/asr-2")
            eventually(lambda: ask(f"{url}/transcribe?user_id=u1")["new_ui"])
            assert not ask(f"{url}/transcribe?user_id=u2")["new_ui"]

            program.end()
            assert kit.services.instances("asr-service", fresh=True).items == ()


def test_two_of_the_service_share_the_file_on_this_machine(tmp_path: Path) -> None:
    with running(asr_service(), tmp_path) as first, running(asr_service(), tmp_path) as second:
        urls = {program.line("asr-service listens on ") for program in (first, second)}
        with configkit.connect(service_name="asr-service") as kit:
            eventually(lambda: {each.service_url for each in kit.services.instances("asr-service", fresh=True).items} == urls)
            kit.config.set("beam_size", 9)
            eventually(lambda: all(ask(f"{url}/settings")["beam_size"] == 9 for url in urls))


def test_the_fastapi_application_greets_as_configuration_and_flag_say(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(tmp_path) as server, configkit.connect(server, service_name="greeter") as kit:
        kit.config.set("greeting", "Servus")
        kit.flags.create("pirate_greeting", is_enabled=True, target_users=["jack"])
        with running([str(EXAMPLES / "fastapi_app.py"), "--port", str(port)], tmp_path, CONFIGKIT_URL=server) as program:
            eventually(lambda: answers(f"{url}/greet?user_id=ann"), timeout=20.0)
            assert ask(f"{url}/greet?user_id=ann") == {"greeting": "Servus, ann!"}
            assert ask(f"{url}/greet?user_id=jack") == {"greeting": "Ahoy, jack!"}
            assert httpx2.get(f"{url}/peer/printer").status_code == 503
            with kit.register(url="http://127.0.0.1:9100", service_name="printer"):
                eventually(lambda: answers(f"{url}/peer/printer"))
                assert ask(f"{url}/peer/printer") == {"url": "http://127.0.0.1:9100"}
            program.end()


def test_the_api_inside_an_application_of_ones_own_changes_what_that_application_says(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running([str(EXAMPLES / "embedded_server.py"), "--port", str(port)], tmp_path) as program:
        eventually(lambda: answers(url), timeout=20.0)
        assert httpx2.get(url).text == "Welcome"
        path = f"{url}/configkit/api/v1/config/greeting?environment=development&service_name=shop"
        written = httpx2.put(path, json={"value": "Welcome back"})
        assert written.status_code == 200, written.text
        eventually(lambda: httpx2.get(url).text == "Welcome back")
        assert ask(f"{url}/configkit/health")["status"] == "healthy"
        program.end()


def test_the_plain_script_is_registered_until_it_is_told_to_end_and_hears_of_changes(tmp_path: Path) -> None:
    with serving(tmp_path) as server, configkit.connect(server, service_name="nightly-batch") as kit:
        kit.config.set("batch_size", 30)
        with running([str(EXAMPLES / "plain_script.py")], tmp_path, CONFIGKIT_URL=server) as program:
            assert program.line("batch_size is ") == "30"
            assert program.line("parallel_import is ") == "False (ERROR)"
            [instance] = eventually(lambda: kit.services.instances("nightly-batch", fresh=True).items)
            assert (instance.service_url, dict(instance.metadata)) == ("http://127.0.0.1:9000", {"kind": "worker"})
            kit.config.set("batch_size", 50)
            assert program.line("batch_size is now ") == "50"
            assert program.end() == 0
            assert kit.services.instances("nightly-batch", fresh=True).items == ()
