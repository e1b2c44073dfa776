"""The menu of everything a developer runs: `nox -l` lists it, `nox` runs what must pass."""

import os
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True
nox.options.sessions = ["lint", "types", "tests", "conformance", "docs", "demo"]
if os.environ.get("CI") == "true":
    nox.options.sessions.append("faults")


AGAIN = 3
"""So often what fails is measured again, alone: bounds of time are measured on machines that do other things too."""
WORKERS = min(8, 2 * (os.cpu_count() or 1))
"""Tests on real servers wait more than they compute."""
_PASSED, _FAILED, _NOTHING_TO_RUN = 0, 1, 5


def install(session: nox.Session, *groups: str) -> None:
    """Install the project for development with dependency *groups*, at the versions that were last seen to work together."""
    arguments = [argument for group in groups for argument in ("--group", group)]
    session.install("-q", "-c", "constraints.txt", "-e", ".[all]", *arguments)


def provide_servers(session: nox.Session, *, here: bool = os.environ.get("CI") == "true") -> None:
    """If *here*, install and start all real servers; one that is missing fails the run. Otherwise those that run are used."""
    if here:
        if not Path(".services/env").exists():
            session.notify("services", ["stop"])  # after the last session, however they end
        session.run(sys.executable, "-m", "scripts.services", "start", external=True)


def measure(session: nox.Session, *arguments: str, at_once: int = 1) -> None:
    """Run pytest in *at_once* processes; what fails runs again by itself, and fails the session if it fails each time."""
    spread = ["-n", str(at_once)] if at_once > 1 else []
    session.run("pytest", *spread, *arguments, success_codes=[_PASSED, _FAILED])
    for left in reversed(range(AGAIN)):
        codes = [_PASSED, _NOTHING_TO_RUN, *([_FAILED] if left else [])]
        session.run("pytest", "--last-failed", "--last-failed-no-failures", "none", *arguments, success_codes=codes)


@nox.session
def lint(session: nox.Session) -> None:
    """Style (ruff) and the direction of dependencies (import-linter)."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Types: mypy, strict, on the sources and the tests."""
    install(session, "types", "tests")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Everything but the conformance and the fault suite; arguments go to pytest."""
    install(session, "tests")
    provide_servers(session)
    others = ["--ignore=tests/conformance", "--ignore=tests/faults/direct"]
    if session.posargs:
        session.run("pytest", *session.posargs)
    else:
        measure(session, *others, "tests", at_once=WORKERS)


@nox.session
def conformance(session: nox.Session) -> None:
    """One suite per port, on every backend, without exceptions."""
    install(session, "tests")
    provide_servers(session)
    measure(session, "tests/conformance", *session.posargs, at_once=WORKERS)


@nox.session
def faults(session: nox.Session) -> None:
    """What happens when a system dies, hangs or forgets, measured on real servers of the session's own."""
    install(session, "tests")
    provide_servers(session)
    measure(session, *(session.posargs or ["tests/faults/direct"]))


@nox.session(venv_backend="none")
def services(session: nox.Session) -> None:
    """The real servers, without containers: start, stop, status or reset (-- start redis: only that one)."""
    session.run(sys.executable, "-m", "scripts.services", *(session.posargs or ["status"]))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a broken link fails it."""
    install(session, "docs")
    session.run("properdocs", "build", "--strict", "--quiet")


@nox.session
def demo(session: nox.Session) -> None:
    """The main job, real, in a minute."""
    install(session)
    session.run("configkit", "demo", *session.posargs)


BENCHMARKS = ("flags", "floors", "spread", "scale", "config", "http", "changes", "openfeature", "ofrep", "worst", "direct")
PEERS = ("peers", "peers.loading", "peers.imports", "peers.fastfeature")
"""Those that measure beside other clients."""


@nox.session
def bench(session: nox.Session) -> None:
    """Each speed beside its floor and beside other clients, in one run; fails below the bounds, and writes docs/benchmarks.md."""
    install(session, "tests")
    chosen = session.posargs or [*PEERS, *BENCHMARKS]
    if set(chosen) & set(PEERS):
        session.install("-q", "-r", "benchmarks/peers/requirements.txt")
    missed = []
    for name in chosen:
        if name == "direct":
            provide_servers(session, here=True)
        try:
            session.run("python", "-m", f"benchmarks.{name}")
        except nox.command.CommandFailed:
            missed.append(name)
    if not session.posargs:
        session.run("python", "-m", "benchmarks.report")
    if missed:
        session.error(f"below their bounds: {', '.join(missed)}")


@nox.session
def constraints(session: nox.Session) -> None:
    """Write constraints.txt anew: the newest versions of everything that the other sessions install."""
    groups = [argument for group in ("lint", "types", "tests", "docs") for argument in ("--group", group)]
    session.install("-q", "--upgrade", "-e", ".[all]", *groups)
    frozen = session.run("pip", "freeze", "--exclude-editable", silent=True)
    header = "# The versions that were last seen to work together; nox installs them. Made anew by: nox -s constraints\n"
    Path("constraints.txt").write_text(header + str(frozen), encoding="utf-8")
