"""`configkit service`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import PROGRAM, Command, Done, line_of, run, started
from tests.waiting import eventually

URL = "http://127.0.0.1:9001"
CHILD = """
import signal, sys, time
def leave(number, frame):
    print("told", signal.Signals(number).name, flush=True)
    sys.exit(9)
signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGINT, leave)
print("running", flush=True)
time.sleep(60)
"""


def test_a_registered_instance_is_listed_and_discovered_until_it_is_taken_off(anywhere: Command) -> None:
    done = anywhere.ok("service", "register", "nmt", URL, "--ttl", "60", "--zone", "a", "--weight", "3", "--instance-id", "nmt-1")
    assert done.out == "nmt/nmt-1: registered; listed for 60 s, unless it is registered again by then\n"
    assert anywhere.ok("service", "list", "--json").json["items"] == [{"service_name": "nmt", "instances": 1, "healthy": 1}]
    (instance,) = anywhere.ok("service", "discover", "nmt", "--json").json["items"]
    assert (instance["service_url"], instance["zone"], instance["weight"]) == (URL, "a", 3)
    assert URL in anywhere.ok("service", "discover", "nmt").out
    assert anywhere.ok("service", "discover", "nmt", "--urls").out == f"{URL}\n"
    anywhere.ok("service", "deregister", "nmt", "nmt-1")
    assert anywhere("service", "deregister", "nmt", "nmt-1").code == 3
    assert "no services" in anywhere.ok("service", "list").err


def test_without_a_healthy_instance_discovery_is_exit_code_3(anywhere: Command) -> None:
    assert anywhere("service", "discover", "nmt").code == 3
    done = anywhere.ok("service", "register", "nmt", URL, "--health-url", f"{URL}/health")
    assert "a running server checks it" in done.out
    found = anywhere("service", "discover", "nmt", "--json")
    assert (found.code, found.json["items"]) == (3, [])
    (instance,) = anywhere.ok("service", "discover", "nmt", "--all", "--json").json["items"]
    assert instance["status"] == "unknown"


def test_discovery_prefers_the_zone_that_is_named(cli: Command) -> None:
    for zone, port in (("a", 1), ("b", 2)):
        cli.ok("service", "register", "nmt", f"http://127.0.0.1:{port}", "--zone", zone)
    assert cli.ok("service", "discover", "nmt", "--urls", "--zone", "b").out == "http://127.0.0.1:2\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("register", "NMT", URL),
        ("register", "nmt", "file:///etc/passwd"),
        ("register", "nmt", "http://user:pw@host"),
        ("register", "nmt", URL, "--ttl", "1"),
        ("register", "nmt", URL, "--weight", "-1"),
        ("register", "nmt", URL, "--zone", "a b"),
        ("register", "nmt", URL, "--instance-id", "../x"),
        ("register", "nmt", URL, "--", "/absent/program"),
        ("register", "nmt", URL, "--wait", "--", "true"),
        ("discover", "no such"),
        ("discover", "nmt", "--zone", "a b"),
    ],
)
def test_what_is_not_allowed_is_exit_code_2_and_registers_nothing(cli: Command, arguments: tuple[str, ...]) -> None:
    assert cli("service", *arguments).code == 2
    assert cli.ok("service", "list", "--json").json["total"] == 0


def test_a_registry_that_is_switched_off_registers_nothing_and_says_so(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_REGISTRY_ENABLED", "false")
    assert "SERVICE_REGISTRY_ENABLED" in cli.ok("service", "register", "nmt", URL).err
    monkeypatch.delenv("SERVICE_REGISTRY_ENABLED")
    assert cli.ok("service", "list", "--json").json["total"] == 0


def test_a_program_is_registered_while_it_runs_and_its_exit_code_is_the_answer() -> None:
    ask = ("sh", "-c", f"{' '.join(PROGRAM)} service discover nmt --urls; exit 7")
    done = run("service", "register", "nmt", URL, "--", *ask)
    assert done == Done(7, f"{URL}\n", done.err)
    assert run("service", "discover", "nmt").code == 3


def test_a_program_that_a_signal_ended_is_answered_as_shells_do() -> None:
    assert run("service", "register", "nmt", URL, "--", "sh", "-c", "kill -9 $$").code == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_takes_the_instance_off_and_is_passed_on(cli: Command, tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    with started("service", "register", "nmt", URL, "--", sys.executable, "-c", CHILD, log=log) as process:
        line_of(log, "running")
        eventually(lambda: cli("service", "discover", "nmt").code == 0)
        process.send_signal(number)
        assert process.wait(10) == 9
    assert line_of(log, "told ") == number.name
    assert cli("service", "discover", "nmt").code == 3


def test_a_killed_wrapper_is_off_the_list_when_its_lease_ends(cli: Command, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = ("sh", "-c", "echo pid $$; exec sleep 60")
    with started("service", "register", "nmt", URL, "--ttl", "5", "--", *program, log=log) as process:
        pid = int(line_of(log, "pid "))
        try:
            eventually(lambda: cli("service", "discover", "nmt").code == 0)
            process.kill()
            process.wait()
            eventually(lambda: cli("service", "discover", "nmt").code == 3, timeout=12.0, every=0.25)
        finally:
            os.kill(pid, signal.SIGKILL)


def test_a_program_is_ended_if_the_registry_refuses_its_instance(server: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    forbidden = "http://169.254.169.254/health"
    program = ("sh", "-c", "echo pid $$; exec sleep 60")
    arguments = ("service", "register", "nmt", URL, "--health-url", forbidden, "--url", server, "--", *program)
    with started(*arguments, log=log) as process:
        assert process.wait(20) == 2
    pid = int(line_of(log, "pid "))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_json_of_discovery_is_one_document_on_the_standard_output() -> None:
    run("service", "register", "nmt", URL)
    done = subprocess.run((*PROGRAM, "service", "discover", "nmt", "--json"), capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout)["stale"] is False
    assert done.stderr == b""


def test_the_address_of_one_instance_is_printed_alone(anywhere: Command) -> None:
    assert anywhere("service", "url", "nmt").code == 3
    anywhere.ok("service", "register", "nmt", URL, "--ttl", "60", "--instance-id", "nmt-1")
    assert anywhere.ok("service", "url", "nmt", "--strategy", "weighted").out == f"{URL}\n"
    assert anywhere.ok("service", "url", "nmt", "--zone", "a", "--json").json == {"url": URL, "instance_id": "nmt-1"}
    assert anywhere("service", "url", "nmt", "--strategy", "nearest").code == 2


def test_a_check_decides_what_is_discovered(cli: Command, server: str) -> None:
    assert cli("service", "check", "nmt").code == 3
    cli.ok("service", "register", "nmt", URL, "--instance-id", "nmt-1", "--health-url", f"{server}/live")
    assert "healthy" in cli.ok("service", "check", "nmt").out
    assert cli.ok("service", "discover", "nmt", "--urls").out == f"{URL}\n"
    cli.ok("service", "register", "nmt", URL, "--instance-id", "nmt-1", "--health-url", f"{server}/nothing")
    ill = cli("service", "check", "nmt", "--json")
    assert (ill.code, ill.json["checks"][0]["healthy"], ill.json["checks"][0]["status_code"]) == (3, False, 404)
    assert cli("service", "discover", "nmt").code == 3
    assert "without --url" in cli("--url", server, "service", "check", "nmt").err
