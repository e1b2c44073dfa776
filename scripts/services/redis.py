"""Redis: a cache with a password, kept in memory only."""

from __future__ import annotations

import signal
import socket

from scripts.services.places import LOOPBACK, Place, write_private
from scripts.services.provision import Program

_SERVER = Program("redis-server", "redis-server")


class Redis:
    """The recipe of Redis."""

    name = "redis"
    ports = ("client", "tls")
    passwords = ("default",)
    stop_signal = signal.SIGTERM
    programs = (_SERVER,)

    def install(self) -> None:
        """Nothing but its package."""

    def user(self) -> None:
        """Redis runs as anybody."""

    def prepare(self, place: Place) -> None:
        """See Recipe."""
        place.data.mkdir(exist_ok=True)
        settings = {
            "bind": LOOPBACK,
            "port": str(place.ports["client"]),
            "requirepass": place.passwords["default"],
            "tls-port": str(place.ports["tls"]),
            "tls-cert-file": str(place.certificate),
            "tls-key-file": str(place.key),
            "tls-auth-clients": "no",
            "dir": str(place.data),
            "save": '""',
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "allkeys-lru",
        }
        write_private(place.folder / "redis.conf", "".join(f"{name} {value}\n" for name, value in settings.items()))

    def command(self, place: Place) -> list[str]:
        """See Recipe."""
        return [_SERVER.path(), str(place.folder / "redis.conf")]

    def state(self, place: Place) -> str:
        """See Recipe."""
        try:
            with socket.create_connection((LOOPBACK, place.ports["client"]), timeout=1) as connection:
                connection.sendall(f"AUTH {place.passwords['default']}\r\nPING\r\n".encode())
                return "ready" if connection.makefile("rb").read(12) == b"+OK\r\n+PONG\r\n" else ""
        except OSError:
            return ""

    def open(self, place: Place) -> None:
        """An empty Redis is usable."""

    def variables(self, place: Place) -> dict[str, str]:
        """See Recipe."""
        return {"REDIS_HOST": LOOPBACK, "REDIS_PORT": str(place.ports["client"]), "REDIS_PASSWORD": place.passwords["default"]}

    def clean(self, place: Place) -> None:
        """Redis leaves nothing elsewhere."""
