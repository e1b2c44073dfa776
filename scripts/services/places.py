"""Where one server lives: its folder, its ports and its passwords, found again by whoever knows the folder."""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Place:
    """A server's *folder* (settings, log), its *data* folder, its ports and passwords by name; they outlive its process."""

    folder: Path
    data: Path
    ports: dict[str, int]
    passwords: dict[str, str]

    @property
    def log(self) -> Path:
        """What the server itself prints."""
        return self.folder / "log"

    @property
    def certificate(self) -> Path:
        """What its TLS port shows: a certificate for the loopback address that is its own authority."""
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        """The private key of the certificate."""
        return self.folder / "key.pem"


def make_place(folder: Path, ports: Iterable[str], passwords: Iterable[str], *, shared_folder: bool) -> Place:
    """
    Return the place kept in *folder*, made at the first call.

    Args:
        shared_folder: Whether the data must be where another user can go, which the checkout of root seldom is.
    """
    kept = folder / "place.json"
    if kept.exists():
        found = json.loads(kept.read_text(encoding="utf-8"))
        return Place(folder, Path(found["data"]), found["ports"], found["passwords"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="configkit-services-")) / "data" if shared_folder else folder / "data"
    place = Place(folder, data, {name: free_port() for name in ports}, {name: secrets.token_hex(20) for name in passwords})
    write_private(kept, json.dumps({**asdict(place), "folder": None, "data": str(data)}))
    return place


def free_port() -> int:
    """
    Return a free port of the loopback address, outside the range from which the kernel takes ports for connections.

    Otherwise a client that tries to reach a stopped server may be given the server's own port, connect to itself and keep
    the port from the server that comes back.
    """
    while True:
        port = random.SystemRandom().choice(_outside_ephemeral())
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind((LOOPBACK, port))
            except OSError:
                continue
            return port


def _outside_ephemeral() -> range:
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    except OSError:
        low, high = 32768, 60999
    return range(20000, low) if low > 21000 else range(min(high + 1, 64000), 65536)


def write_private(path: Path, text: str) -> None:
    """Write *text* so that only this user reads it, and so that a reader finds the old or the new text, never half."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # made with mode 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)
