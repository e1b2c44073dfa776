"""ZooKeeper, alone, with short ticks so that short session timeouts are granted."""

from __future__ import annotations

import signal
import socket

from scripts.services import java
from scripts.services.places import LOOPBACK, Place, write_private
from scripts.services.provision import Program


class ZooKeeper:
    """The recipe of ZooKeeper."""

    name = "zookeeper"
    ports = ("client", "tls")
    passwords = ("sasl",)
    stop_signal = signal.SIGTERM

    @property
    def programs(self) -> tuple[Program, ...]:
        """See Recipe."""
        return java.programs()

    def install(self) -> None:
        """See Recipe."""
        java.install_archives()

    def user(self) -> None:
        """ZooKeeper runs as anybody."""

    def prepare(self, place: Place) -> None:
        """See Recipe. Who wants to may log in by SASL (DIGEST-MD5) as configkit; nobody has to."""
        place.data.mkdir(exist_ok=True)
        settings = {
            "tickTime": "200",  # ms; sessions last 2 to 300 ticks here
            "minSessionTimeout": "400",
            "maxSessionTimeout": "60000",
            "dataDir": str(place.data),
            "clientPortAddress": LOOPBACK,
            "clientPort": str(place.ports["client"]),
            "secureClientPortAddress": LOOPBACK,
            "secureClientPort": str(place.ports["tls"]),
            "ssl.keyStore.location": str(place.folder / "both.pem"),
            "ssl.keyStore.type": "PEM",
            "ssl.clientAuth": "none",
            "maxClientCnxns": "0",
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
            "authProvider.sasl": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        }
        write_private(place.folder / "zoo.cfg", "".join(f"{name}={value}\n" for name, value in settings.items()))
        write_private(
            place.folder / "both.pem", "".join(part.read_text(encoding="ascii") for part in (place.key, place.certificate))
        )
        login = 'Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_configkit="%s"; };\n'
        write_private(place.folder / "jaas.conf", login % place.passwords["sasl"])

    def command(self, place: Place) -> list[str]:
        """See Recipe. As with PostgreSQL, nothing is flushed to the disk."""
        options = (
            "-Dzookeeper.serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",  # the one that speaks TLS
            "-Dzookeeper.forceSync=no",
            "-Dzookeeper.preAllocSize=1024",
            f"-Djava.security.auth.login.config={place.folder / 'jaas.conf'}",
        )
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return java.command(main, str(place.folder / "zoo.cfg"), heap="128m", options=options)

    def state(self, place: Place) -> str:
        """See Recipe."""
        try:
            with socket.create_connection((LOOPBACK, place.ports["client"]), timeout=1) as connection:
                connection.sendall(b"srvr")
                return "ready" if b"Mode: " in connection.makefile("rb").read() else ""
        except OSError:
            return ""

    def open(self, place: Place) -> None:
        """An empty ZooKeeper is usable."""

    def variables(self, place: Place) -> dict[str, str]:
        """See Recipe."""
        return {"ZOOKEEPER_HOSTS": f"{LOOPBACK}:{place.ports['client']}"}

    def clean(self, place: Place) -> None:
        """ZooKeeper leaves nothing elsewhere."""
