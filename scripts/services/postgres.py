"""PostgreSQL: a database of configkit's own and the superuser beside it, both with passwords; TCP only, with TLS for who asks."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess

from scripts.services.places import LOOPBACK, Place, write_private
from scripts.services.provision import Program

NAME = "configkit"
_FOLDERS = tuple(f"/usr/lib/postgresql/{version}/bin" for version in range(15, 20))
_INITDB, _SERVER, _PSQL = (Program(name, "postgresql", _FOLDERS) for name in ("initdb", "postgres", "psql"))


class Postgres:
    """The recipe of PostgreSQL."""

    name = "postgres"
    ports = ("client",)
    passwords = ("superuser", "configkit")
    stop_signal = signal.SIGINT  # "fast": open connections are ended, not waited for
    programs = (_INITDB, _SERVER, _PSQL)

    def install(self) -> None:
        """Nothing but its package."""

    def user(self) -> str | None:
        """PostgreSQL refuses root."""
        if os.geteuid() != 0:
            return None
        names = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"

    def prepare(self, place: Place) -> None:
        """See Recipe."""
        if place.data.exists():
            return
        user = self.user()
        if user is not None:
            shutil.chown(place.data.parent, user)
        secret = place.data.parent / "superuser-password"
        write_private(secret, place.passwords["superuser"])
        if user is not None:
            shutil.chown(secret, user)
        options = ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--username=postgres"]
        log = place.log.open("ab")
        try:
            subprocess.run(
                [_INITDB.path(), *options, f"--pwfile={secret}", "--pgdata", str(place.data)],
                check=True, stdout=log, stderr=log, cwd=place.data.parent, user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )  # fmt: skip
        finally:
            log.close()
            secret.unlink()
        for source, name in ((place.certificate, "server.crt"), (place.key, "server.key")):
            kept = place.data / name
            write_private(kept, source.read_text(encoding="ascii"))
            shutil.chown(kept, place.data.owner())

    def command(self, place: Place) -> list[str]:
        """See Recipe. Nothing is flushed to the disk: a killed server loses nothing by that, only a machine would."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(place.ports["client"]),
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",
            "ssl": "on",
            "shared_buffers": "32MB",
            "max_connections": "200",
            "fsync": "off",
            "full_page_writes": "off",
            "timezone": "UTC",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [_SERVER.path(), "-D", str(place.data), *options]

    def state(self, place: Place) -> str:
        """See Recipe."""
        return "ready" if _sql(place, "SELECT 1").returncode == 0 else ""

    def open(self, place: Place) -> None:
        """See Recipe."""
        if _sql(place, f"SELECT datname FROM pg_database WHERE datname = '{NAME}'").stdout.strip():
            return
        password = place.passwords["configkit"]
        for statement in (f"CREATE ROLE {NAME} LOGIN PASSWORD '{password}'", f"CREATE DATABASE {NAME} OWNER {NAME}"):
            _sql(place, statement).check_returncode()

    def variables(self, place: Place) -> dict[str, str]:
        """See Recipe."""
        return {"DATABASE_URL": url(place, NAME, place.passwords["configkit"])}

    def clean(self, place: Place) -> None:
        """See Recipe: the System V segment that guards the data folder."""
        try:
            segment = (place.data / "postmaster.pid").read_text(encoding="ascii").splitlines()[6].split()[1]
        except (OSError, IndexError):
            return
        subprocess.run(["ipcrm", "--shmem-id", segment], check=False, capture_output=True)


def url(place: Place, user: str, password: str) -> str:
    """Return the URL of configkit's database for *user*."""
    return f"postgresql://{user}:{password}@{LOOPBACK}:{place.ports['client']}/{NAME}"


def _sql(place: Place, statement: str) -> subprocess.CompletedProcess[str]:
    environ = {"PGPASSWORD": place.passwords["superuser"], "PGCONNECT_TIMEOUT": "2", "LC_ALL": "C"}
    address = ["-h", LOOPBACK, "-p", str(place.ports["client"]), "-U", "postgres"]
    command = [_PSQL.path(), "-XAtq", *address, "-c", statement, "postgres"]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
