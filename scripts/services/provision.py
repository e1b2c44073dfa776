"""Bringing the servers' software to this machine: Debian packages, Java archives, a program built from Go modules."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_POLICY = Path("/usr/sbin/policy-rc.d")


class MissingSoftwareError(Exception):
    """Something that a server needs is not on this machine; the text says what, and how it comes here."""


@dataclass(frozen=True)
class Program:
    """A program that a Debian package brings, perhaps into a folder outside the path."""

    name: str
    package: str
    folders: tuple[str, ...] = ()

    def find(self) -> str | None:
        """Return where it is, looking into its own folders first."""
        found = (f"{folder}/{self.name}" for folder in self.folders if Path(folder, self.name).exists())
        return next(found, None) or shutil.which(self.name)

    def path(self) -> str:
        """Return where it is, or raise MissingSoftwareError with what to install."""
        if (found := self.find()) is None:
            raise MissingSoftwareError(f"{self.name} is not on this machine: install {self.package}")
        return found


OPENSSL = Program("openssl", "openssl")


def install_packages(programs: Iterable[Program]) -> None:
    """Install the Debian packages of those *programs* that are missing, in one go, without starting system services."""
    missing = sorted({program.package for program in programs if program.find() is None})
    if not missing or not _can_install():
        return
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_stay_down():
        for arguments in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *missing]):
            run(["apt-get", *arguments], f"apt-get {arguments[0]}", environ=environ)


def run(command: list[str], what: str, *, folder: Path | None = None, environ: dict[str, str] | None = None) -> None:
    """Run *command*; if it fails, raise MissingSoftwareError with the end of what it said."""
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environ
    )
    if done.returncode != 0:
        raise MissingSoftwareError(f"{what} failed: {done.stdout[-2000:].strip()}")


def cached(name: str, sources: Iterable[Path], make: Callable[[Path], None] | None = None) -> Path | None:
    """
    Return the folder in the user's cache that was made from exactly these *sources*.

    Args:
        make: Fills the folder given to it, where there is none yet; without it None is returned then.
    """
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "configkit-services"
    folder = home / f"{name}-{digest}"
    if folder.exists() or make is None:
        return folder if folder.exists() else None
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=home) as unfinished:
                made = Path(unfinished) / name
                made.mkdir()
                make(made)
                made.rename(folder)
    return folder


def make_certificate(certificate: Path, key: Path) -> None:
    """Write a certificate of the loopback address that vouches for itself, unless it is there."""
    if not certificate.exists():
        names = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost"
        options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost"]
        output = ["-addext", names, "-keyout", str(key), "-out", str(certificate)]
        run([OPENSSL.path(), "req", "-x509", *options, *output], "making a certificate")


def _can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


@contextmanager
def _services_stay_down() -> Iterator[None]:
    """Debian starts a server as it installs it, unless the machine's policy (policy-rc.d) forbids: 101."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
