"""Kafka: one process that is broker and controller (KRaft), open on one port, with a password (SASL) on another, TLS on a third."""

from __future__ import annotations

import base64
import signal
import socket
import struct
import subprocess
import uuid

from scripts.services import java
from scripts.services.places import LOOPBACK, Place, write_private
from scripts.services.provision import Program

_METADATA_REQUEST = struct.pack(">hhihi", 3, 1, 1, -1, 0)  # key, version, correlation id, no client id, no topics


class Kafka:
    """The recipe of Kafka."""

    name = "kafka"
    ports = ("client", "sasl", "tls", "controller")
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
        """Kafka runs as anybody."""

    def prepare(self, place: Place) -> None:
        """See Recipe."""
        write_private(
            place.folder / "both.pem", "".join(part.read_text(encoding="ascii") for part in (place.key, place.certificate))
        )
        settings = place.folder / "server.properties"
        write_private(settings, "".join(f"{name}={value}\n" for name, value in _settings(place).items()))
        if (place.data / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        arguments = ("format", "-t", cluster, "-c", str(settings))
        with place.log.open("ab") as log:
            subprocess.run(java.command("kafka.tools.StorageTool", *arguments, heap="128m"), check=True, stdout=log, stderr=log)

    def command(self, place: Place) -> list[str]:
        """See Recipe."""
        return java.command("kafka.Kafka", str(place.folder / "server.properties"), heap="384m")

    def state(self, place: Place) -> str:
        """See Recipe: it is ready once it names itself among the brokers (Metadata v1 of the Kafka protocol)."""
        try:
            with socket.create_connection((LOOPBACK, place.ports["client"]), timeout=1) as connection:
                connection.sendall(struct.pack(">i", len(_METADATA_REQUEST)) + _METADATA_REQUEST)
                size, _, brokers = struct.unpack(">iii", connection.makefile("rb").read(12))
                return "ready" if size and brokers else ""
        except (OSError, struct.error):
            return ""

    def open(self, place: Place) -> None:
        """An empty Kafka is usable: topics are made by who uses them."""

    def variables(self, place: Place) -> dict[str, str]:
        """See Recipe."""
        return {"KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{place.ports['client']}"}

    def clean(self, place: Place) -> None:
        """Kafka leaves nothing elsewhere."""


def _settings(place: Place) -> dict[str, str]:
    listeners = {"PLAINTEXT": "client", "SASL_PLAINTEXT": "sasl", "SSL": "tls", "CONTROLLER": "controller"}
    addresses = {name: f"{name}://{LOOPBACK}:{place.ports[port]}" for name, port in listeners.items()}
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_configkit="%s";'
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{place.ports['controller']}",
        "controller.listener.names": "CONTROLLER",
        "listeners": ",".join(addresses.values()),
        "advertised.listeners": ",".join(address for name, address in addresses.items() if name != "CONTROLLER"),
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": login % place.passwords["sasl"],
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(place.folder / "both.pem"),
        "log.dirs": str(place.data),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "num.network.threads": "2",
        "num.io.threads": "2",
        "log.cleaner.dedupe.buffer.size": "4194304",
        # A broker that comes back after a crash is let in when its former session has ended: 9 s by default.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "200",
    }
