"""The parts of scripts.services that need no server: places, processes, provisioning and the file of variables."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts import services
from scripts.services import provision
from scripts.services.__main__ import main
from scripts.services.fleet import RECIPES, Fleet, FleetError, env_text, read_env, rows
from scripts.services.places import free_port, make_place, write_private
from scripts.services.processes import Process, birth, spawn
from scripts.services.provision import MissingSoftwareError, Program, cached

from tests import services as needed
from tests.waiting import eventually

TEMPLATE = (services.SHARED.parent / "env.template").read_text(encoding="utf-8")
HARD = {"A": "plain", "B": "two words", "C": 'it\'s $HOME `id` "q"', "D": "", "E": "#x=1"}


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Process]:
    """A process with a child of its own."""
    script = "sleep 60 & sleep 60"
    process = spawn(["sh", "-c", script], log=tmp_path / "log", folder=tmp_path, user=None, environ={"PATH": os.environ["PATH"]})
    eventually(lambda: len(process.family()) == 3)
    yield process
    process.kill()


def test_the_file_of_variables_reads_back_as_it_was_written() -> None:
    assert read_env(env_text("", HARD)) == HARD


def test_a_shell_reads_the_file_of_variables_as_python_does(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(env_text("", HARD))
    show = f"import json, os; print(json.dumps({{name: os.environ[name] for name in {list(HARD)}}}))"
    command = ["sh", "-ec", f'set -a; . ./env; "{sys.executable}" -c "$0"', show]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env={"HOME": "/nowhere"})
    assert json.loads(done.stdout) == HARD


def test_the_file_has_every_variable_of_the_template_and_what_the_servers_add() -> None:
    found = read_env(env_text(TEMPLATE, {"REDIS_HOST": "127.0.0.1", "VAULT_ROLE_ID": "role"}))
    assert set(found) >= {line.partition("=")[0] for line in TEMPLATE.splitlines() if line and line[0] != "#"} | {"VAULT_ROLE_ID"}
    assert (found["REDIS_HOST"], found["VAULT_MOUNT_POINT"]) == ("127.0.0.1", "secret")


def test_each_server_leads_to_itself_by_variables_that_the_template_has(tmp_path: Path) -> None:
    known = set(read_env(TEMPLATE)) | {"VAULT_ROLE_ID", "VAULT_SECRET_ID"}
    for name, recipe in RECIPES.items():
        place = make_place(tmp_path / name, recipe.ports, recipe.passwords, shared_folder=False)
        found = recipe.variables(place)
        assert needed.LEADS_TO[name] in found
        assert set(found) <= known


def test_a_private_file_is_readable_by_its_owner_only_even_in_the_place_of_an_open_one(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode), list(tmp_path.iterdir())) == ("new", 0o600, [file])


def test_a_place_keeps_its_ports_and_passwords(tmp_path: Path) -> None:
    place = make_place(tmp_path / "one", ("client", "tls"), ("admin",), shared_folder=False)
    assert make_place(tmp_path / "one", ("client", "tls"), ("admin",), shared_folder=False) == place
    other = make_place(tmp_path / "two", ("client", "tls"), ("admin",), shared_folder=False)
    assert other.passwords != place.passwords
    assert len(set(place.ports.values())) == 2


def test_a_free_port_is_not_one_that_the_kernel_gives_to_connections() -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not any(low <= free_port() <= high for _ in range(50))


def test_a_process_is_itself_only_with_the_right_birth(parent: Process) -> None:
    recycled = Process(parent.pid, "another boot 1")
    assert (parent.alive, recycled.alive, recycled.family()) == (True, False, [])
    for harm in (recycled.kill, recycled.pause, lambda: recycled.end(signal.SIGTERM, patience=0.1)):
        harm()
    assert parent.alive
    assert len(parent.family()) == 3


def test_killing_a_process_kills_its_children(parent: Process) -> None:
    family = parent.family()
    parent.kill()
    assert [birth(process.pid) for process in family] == [None, None, None]


def test_ending_a_paused_process_waits_for_what_it_does_at_its_end(tmp_path: Path) -> None:
    script = f'trap "echo ended > {tmp_path}/ended; exit" TERM; touch {tmp_path}/ready; while :; do sleep 0.01; done'
    process = spawn(["sh", "-c", script], log=tmp_path / "log", folder=tmp_path, user=None, environ={"PATH": os.environ["PATH"]})
    eventually((tmp_path / "ready").exists)
    process.pause()
    process.end(signal.SIGTERM, patience=10)
    assert (process.alive, (tmp_path / "ended").read_text()) == (False, "ended\n")


def test_a_process_that_does_not_end_when_asked_is_killed(tmp_path: Path) -> None:
    script = f'trap "" TERM; touch {tmp_path}/ready; while :; do sleep 0.01; done'
    process = spawn(["sh", "-c", script], log=tmp_path / "log", folder=tmp_path, user=None, environ={"PATH": os.environ["PATH"]})
    eventually((tmp_path / "ready").exists)
    process.end(signal.SIGTERM, patience=0.1)
    assert not process.alive


def test_what_is_cached_is_made_once_for_the_same_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "source"
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "result").write_text(source.read_text())

    source.write_text("one")
    assert cached("thing", [source]) is None
    first = cached("thing", [source], make)
    assert first == cached("thing", [source], make) == cached("thing", [source])
    source.write_text("two")
    second = cached("thing", [source], make)
    assert first is not None
    assert second is not None
    assert ((first / "result").read_text(), (second / "result").read_text(), len(made)) == ("one", "two", 2)


def test_what_could_not_be_made_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "source"
    source.write_text("one")

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        provision.run(["sh", "-c", "echo no such module; exit 3"], "building it")

    with pytest.raises(MissingSoftwareError, match=r"building it failed: no such module"):
        cached("thing", [source], fail)
    assert cached("thing", [source]) is None
    assert [kept.name for kept in (tmp_path / "cache" / "configkit-services").iterdir()] == ["thing.lock"]


def test_a_program_is_looked_for_in_its_own_folders_first(tmp_path: Path) -> None:
    (tmp_path / "sh").touch()
    assert Program("sh", "dash", (str(tmp_path / "none"), str(tmp_path))).path() == str(tmp_path / "sh")
    assert Program("sh", "dash").path() != str(tmp_path / "sh")


def test_a_missing_program_is_named_with_what_to_install() -> None:
    with pytest.raises(MissingSoftwareError, match=r"^no-such-server is not on this machine: install its-package$"):
        Program("no-such-server", "its-package").path()


def test_nothing_is_installed_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provision, "run", lambda *_arguments, **_options: pytest.fail("ran a package manager"))
    provision.install_packages([Program("sh", "dash")])


def test_packages_are_installed_in_one_go_while_the_system_starts_no_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[list[str], str]] = []
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(provision, "_POLICY", policy)
    monkeypatch.setattr(provision, "_can_install", lambda: True)
    monkeypatch.setattr(provision, "run", lambda command, *_a, **_o: ran.append((command, policy.read_text())))
    provision.install_packages([Program("no-such-b", "b"), Program("no-such-a", "a"), Program("no-such-b2", "b")])
    assert [(command[1], command[-2:]) for command, _ in ran] == [("update", ["update", "-q"]), ("install", ["a", "b"])]
    assert {text for _, text in ran} == {"#!/bin/sh\nexit 101\n"}
    assert not policy.exists()


def test_a_policy_of_the_machine_itself_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("its own")
    monkeypatch.setattr(provision, "_POLICY", policy)
    monkeypatch.setattr(provision, "_can_install", lambda: True)
    monkeypatch.setattr(provision, "run", lambda *_arguments, **_options: None)
    provision.install_packages([Program("no-such-a", "a")])
    assert policy.read_text() == "its own"


def test_servers_that_never_started_are_down_and_their_stop_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "none"
    assert main(["status", "--folder", str(folder)]) == 0
    assert capsys.readouterr().out.split() == [word for name in RECIPES for word in (name, "down", "-", "-")]
    assert main(["stop", "--folder", str(folder)]) == 0
    assert not folder.exists()


def test_stopping_leaves_alone_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("mine")
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "notes").write_text("mine too")
    Fleet(tmp_path).stop()
    assert (tmp_path / "diary").exists()
    assert (tmp_path / "redis" / "notes").exists()


def test_an_unknown_server_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["start", "mongodb"])
    assert "no such server: mongodb" in capsys.readouterr().err


def test_each_server_that_fails_is_named_while_the_others_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def start(server: services.Server) -> None:
        if server.name != "redis":
            raise MissingSoftwareError(f"no {server.name} here")
        started.append(server.name)

    monkeypatch.setattr(services.Server, "start", start)
    fleet = Fleet(tmp_path / "set", ("redis", "kafka", "vault"))
    with pytest.raises(FleetError, match=r"^kafka: no kafka here\nvault: no vault here$"):
        fleet.start(install=False)
    assert started == ["redis"]
    assert (tmp_path / "set" / "env").exists()
    assert [row[1] for row in rows(fleet.servers)] == ["down"] * 3


def test_a_test_without_its_server_is_skipped_with_a_reason_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needed, "env", lambda: {"REDIS_HOST": "127.0.0.1", "VAULT_ADDR": ""})
    monkeypatch.delenv("CI", raising=False)
    assert needed.need("redis")["REDIS_HOST"] == "127.0.0.1"
    with pytest.raises(pytest.skip.Exception, match=r"not started: kafka, vault \(nox -s services -- start\)"):
        needed.need("kafka", "redis", "vault")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not started: kafka"):
        needed.need("kafka")
