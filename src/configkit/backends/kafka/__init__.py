"""Telling every process of a deployment what has changed, through one topic of Kafka."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from configkit.backends.kafka.address import Address, check_topic
from configkit.errors import MissingExtraError

if TYPE_CHECKING:
    from configkit.backends.kafka.events import KafkaEvents

__all__ = ["Address", "open_kafka"]


def open_kafka(address: Address, *, topic: str = "config-updates", deadline: float = 5.0) -> KafkaEvents:
    """
    Return what publishes and delivers events on *topic*, which is made where it is absent. Nothing is sent yet.

    Args:
        deadline: Seconds within which every call is answered.

    Raises:
        MissingExtraError: The extra ``kafka`` is not installed.
        InvalidDocumentError: The topic's name is malformed.
    """
    if find_spec("kafka") is None:
        raise MissingExtraError("kafka", "the event bus on Kafka")
    check_topic(topic)
    from configkit.backends.kafka.events import KafkaEvents  # noqa: PLC0415  the driver takes a while to import

    return KafkaEvents.on(address, topic, deadline)
