"""`configkit serve`."""

import json
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Command, line_of, run, started
from tests.waiting import eventually

LISTENING = "listening on "


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


def test_it_serves_the_file_says_where_and_ends_in_order(cli: Command, tmp_path: Path) -> None:
    log = tmp_path / "log"
    cli.ok("config", "set", "k", "v")
    with started("serve", "--port", "0", log=log) as process:
        url = line_of(log, LISTENING)
        assert f"mode embedded, in {tmp_path / 'configkit.db'}\n" in log.read_text()
        assert "open to this machine only, without credentials" in log.read_text()
        assert _json(f"{url}/api/v1/config/k?environment=development&service_name=asr-service")["value"] == "v"
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert "Traceback" not in log.read_text()


def test_a_change_by_the_command_on_the_file_reaches_the_running_server(cli: Command, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("serve", "--port", "0", log=log):
        url = f"{line_of(log, LISTENING)}/api/v1/config/k?environment=development&service_name=asr-service"
        cli.ok("config", "set", "k", "one")
        assert _json(url)["value"] == "one"
        cli.ok("config", "set", "k", "two")
        eventually(lambda: _json(url)["value"] == "two", timeout=1.0)


def test_an_open_event_stream_does_not_hold_up_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("serve", "--port", "0", log=log) as process:
        url = line_of(log, LISTENING)
        with urllib.request.urlopen(f"{url}/api/v1/events", timeout=10):
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0


def test_sigterm_before_it_listens_is_not_lost(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("serve", "--port", "0", log=log) as process:
        line_of(log, "mode ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_ctrl_c_is_quiet_and_exit_code_130(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("serve", "--port", "0", log=log) as process:
        line_of(log, LISTENING)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 130
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_without_credentials_it_refuses_to_be_reached_from_elsewhere(cli: Command, host: str) -> None:
    done = cli("serve", "--host", host, "--port", "0")
    assert done.code == 2
    assert "configkit token create" in done.err
    assert "CONFIGKIT_TOKEN" in done.err


def test_with_a_token_it_may_be_reached_from_elsewhere(cli: Command, tmp_path: Path) -> None:
    log = tmp_path / "log"
    secret = cli.ok("token", "create", "ops", "--scope", "admin").out.strip()
    with started("serve", "--host", "0.0.0.0", "--port", "0", log=log) as process:
        url = line_of(log, LISTENING).replace("0.0.0.0", "127.0.0.1")
        assert cli("config", "list", "--url", url).code == 5
        assert cli.ok("config", "list", "--url", url, "--token", secret, "--json").json["total"] == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert "open to other machines too, with a token" in log.read_text()
    assert secret not in log.read_text()


def test_a_port_that_is_taken_is_said_plainly(cli: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = cli("serve", "--port", str(port))
    assert done.code == 1
    assert f"port {port} of 127.0.0.1 is taken" in done.err


def test_a_server_does_not_serve_another_server(cli: Command) -> None:
    done = cli("--url", "http://127.0.0.1:1", "serve")
    assert done.code == 2
    assert "--mode embedded" in done.err


def test_the_log_has_no_secrets(cli: Command, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("serve", "--port", "0", "--log-level", "debug", log=log) as process:
        url = line_of(log, LISTENING)
        cli.ok("config", "set", "api_key", "--secret", "-", "--url", url, stdin="canary-1c9d")
        assert cli.ok("config", "get", "api_key", "--reveal", "--url", url).out == "canary-1c9d\n"
        assert cli("config", "set", "api_key", "-", "--expected-version", "9", "--url", url, stdin="canary-1c9d").code == 4
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    assert "/api/v1/config" in log.read_text()
    assert "canary" not in log.read_text()


def test_a_server_that_is_not_there_is_exit_code_1() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = run("config", "list", "--url", f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert done.code == 1
    assert done.err.startswith("configkit: http: ")
    assert "Traceback" not in done.err
