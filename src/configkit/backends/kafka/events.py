"""What publishes and what delivers, on one topic."""

from __future__ import annotations

from dataclasses import dataclass

from configkit.backends.kafka.address import Address
from configkit.backends.kafka.bus import KafkaBus
from configkit.backends.kafka.publisher import KafkaPublisher
from configkit.backends.kafka.reader import Reader


@dataclass(frozen=True, slots=True)
class KafkaEvents:
    """
    The events of one deployment.

    Attributes:
        publisher: An `EventPublisher`.
        bus: An `EventBus`.
    """

    publisher: KafkaPublisher
    bus: KafkaBus

    @classmethod
    def on(cls, address: Address, topic: str, deadline: float) -> KafkaEvents:
        """Return the events on *topic*."""
        return cls(
            KafkaPublisher(address, topic, deadline=deadline),
            KafkaBus(lambda: Reader(address, topic, seconds=deadline)),
        )

    def ping(self) -> None:
        """Return if the brokers answer and the topic is there. Raises `UnavailableError` or `AccessDeniedError`."""
        self.publisher.ping()

    def close(self) -> None:
        """End every subscription and close the connections; takes two seconds at most. Closing again does nothing."""
        self.bus.close()
        self.publisher.close()

    def after_fork(self) -> None:
        """Begin anew in a forked child, whose parent keeps the threads and connections."""
        self.bus.after_fork()
        self.publisher.after_fork()
