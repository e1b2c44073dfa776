"""The command as people and scripts meet it: exit codes, pipes, terminals, Ctrl-C, what is not installed."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping

import pytest

from configkit import cli as command_line
from tests.cli.command import PROGRAM, Command, run


def test_help_tells_the_exit_codes_and_the_groups() -> None:
    done = run("--help")
    words = " ".join(done.out.split())
    assert done.code == 0
    assert "0 done, 1 a backend failed" in words
    assert "\x1b" not in done.out
    for group in ("config", "flag", "service", "token", "serve", "demo"):
        assert f" {group} " in words


@pytest.mark.parametrize("arguments", [("bogus",), ("config", "bogus"), ("config", "get"), ("config", "get", "k", "--bogus")])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], cli: Command) -> None:
    done = cli(*arguments)
    assert done.code == 2
    assert "--help" in done.err
    assert done.out == ""


def test_a_group_alone_shows_its_help_and_is_wrong_usage(cli: Command) -> None:
    done = cli("config")
    assert done.code == 2
    assert "rollback" in done.out + done.err


def test_the_version_is_printed(cli: Command) -> None:
    assert cli.ok("--version").out.startswith("configkit ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("CONFIGKIT_MODE", "canary"), ("CONFIGKIT_DEADLINE", "canary"), ("CONFIGKIT_DATABASE_URL", "mysql://canary")],
)
def test_a_wrong_setting_is_named_without_its_value(cli: Command, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    done = cli("config", "list")
    assert done.code == 2
    assert name.removeprefix("CONFIGKIT_").lower() in done.err.lower()
    assert "canary" not in done.err


def test_another_master_key_is_an_error_and_never_garbage(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIGKIT_MASTER_KEY", "one-master-key-of-a-good-length-0001")
    cli.ok("config", "set", "k", "--secret", "-", stdin="canary")
    monkeypatch.setenv("CONFIGKIT_MASTER_KEY", "another-master-key-of-good-length-02")
    done = cli("config", "get", "k", "--reveal")
    assert (done.code, done.out) == (1, "")
    assert "master-key" not in done.err


def test_the_memory_mode_keeps_nothing(cli: Command) -> None:
    cli.ok("config", "set", "k", "v", "--mode", "memory")
    assert cli("config", "get", "k", "--mode", "memory").code == 3
    assert cli("config", "get", "k").code == 3


def test_a_reader_that_goes_away_is_no_traceback(cli: Command) -> None:
    cli.ok("config", "set", "k", "-", stdin="x" * 300_000)
    shell = f"{' '.join(PROGRAM)} config get k | head -c 10 > /dev/null; exit ${{PIPESTATUS[0]}}"
    # Without a buffer Python takes the part that a signal let through for the whole.
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=30, check=False, env=buffered)
    assert done.stderr == ""
    assert done.returncode == 1


def test_ctrl_c_is_quiet_and_exit_code_130(cli: Command) -> None:
    code, shown = _on_a_terminal("config", "set", "k", "--prompt", typed=b"\x03")
    assert code == 130
    assert "Traceback" not in shown
    assert cli("config", "get", "k").code == 3


def _on_a_terminal(*arguments: str, typed: bytes = b"", variables: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run the command on a terminal of its own; return its exit code and all that the terminal showed."""
    master, slave = pty.openpty()
    # Its own session, led by a process whose terminal this is: so Ctrl-C reaches it as from a keyboard.
    launch = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    try:
        process = subprocess.Popen(
            (sys.executable, "-c", launch, *PROGRAM, *arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", **(variables or {})},
        )
    finally:
        os.close(slave)
    shown = b""
    try:
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
            if typed and b"Value" in shown:
                os.write(master, typed)
                typed = b""
        return process.wait(20), shown.decode()
    finally:
        process.kill()
        process.wait()
        os.close(master)


def test_on_a_terminal_tables_are_drawn_and_cut_to_its_width(cli: Command) -> None:
    cli.ok("config", "set", "k", "x" * 500)
    code, shown = _on_a_terminal("config", "list", variables={"COLUMNS": "90"})
    assert code == 0
    assert "─" in shown
    assert "…" in shown
    assert "\x1b[" in shown


def test_colours_are_left_out_where_they_are_not_wanted(cli: Command) -> None:
    cli.ok("config", "set", "k", "v")
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        code, shown = _on_a_terminal("config", "list", variables={name: value})
        assert code == 0
        assert "\x1b" not in shown
        assert "asr-service" in shown


def test_a_pipe_gets_no_escapes_even_if_colours_are_forced(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.ok("config", "set", "k", "x" * 60)
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = run("config", "list").out
    assert "x" * 60 in out
    assert "\x1b" not in out


def test_a_prompted_secret_is_never_shown(cli: Command) -> None:
    code, shown = _on_a_terminal("config", "set", "api_key", "--secret", "--prompt", typed=b"canary-prompt\n")
    assert code == 0
    assert "canary" not in shown
    assert cli.ok("config", "get", "api_key", "--reveal").out == "canary-prompt\n"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom configkit.cli import main\nsys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'configkit[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("yaml", ("config", "export", "--format", "yaml"), "cli"),
        ("uvicorn", ("serve", "--port", "0"), "server"),
        ("sqlalchemy", ("config", "list"), "embedded"),
    ],
)
def test_a_part_that_is_not_installed_names_its_extra(cli: Command, missing: str, arguments: tuple[str, ...], extra: str) -> None:
    cli.ok("config", "set", "k", "v")
    code = f"import sys; sys.modules[{missing!r}] = None\nfrom configkit.cli import main\nsys.exit(main({list(arguments)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert f"pip install 'configkit[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_the_entry_point_imports_none_of_its_extras() -> None:
    code = "import sys, configkit.cli; sys.exit(any(name in sys.modules for name in ('typer', 'rich', 'yaml', 'sqlalchemy')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


def test_arguments_of_the_process_are_taken_if_none_are_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["configkit", "--version"])
    assert command_line.main() == 0
    assert capsys.readouterr().out.startswith("configkit ")
