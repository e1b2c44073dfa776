"""Reading every partition of one topic from now on, without a group; whatever may be a gap is an error."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from configkit.backends.kafka import driver, topic
from configkit.backends.kafka.address import Address
from configkit.backends.kafka.driver import BACKEND, Client, KafkaConsumer, TopicPartition
from configkit.errors import UnavailableError

CHECK_SECONDS = 1.0
"""How often the brokers are asked for their ends, and the topic for its partitions."""


@dataclass(frozen=True, slots=True)
class _Places:
    """What is read."""

    identity: str
    partitions: tuple[TopicPartition, ...]


class Reader:
    """
    A position in every partition of the topic, fixed when this is made. Used by one thread at a time.

    Args:
        seconds: How long each step may take.

    Raises:
        UnavailableError: Kafka could not be reached in time.
        AccessDeniedError: The topic may not be read.
    """

    def __init__(self, address: Address, topic_name: str, *, seconds: float) -> None:
        self._address = address
        self._topic = topic_name
        self._seconds = seconds
        ends = time.monotonic() + seconds
        found = topic.ensure(address, topic_name, seconds=seconds)
        with driver.translated(address, "subscribe"):
            self._client, self._consumer = self._connect(max(0.2, ends - time.monotonic()))
            try:
                self._places = self._assign(found, max(0.2, ends - time.monotonic()))
            except BaseException:
                self.close()
                raise
        self._checked = time.monotonic()

    def poll(self, seconds: float) -> list[Any]:
        """
        Return the records that have come, waiting up to *seconds* for the first.

        Raises:
            UnavailableError: Kafka cannot be reached, or some records may have been missed.
        """
        with driver.translated(self._address, "read"):
            polled = self._consumer.poll(timeout_ms=int(seconds * 1000))
            if time.monotonic() - self._checked >= CHECK_SECONDS:
                self._check()
        return [record for records in polled.values() for record in records]

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close(autocommit=False, timeout_ms=100)

    def _connect(self, seconds: float) -> tuple[Client, KafkaConsumer]:
        arguments = driver.options(self._address, seconds=seconds) | {
            "request_timeout_ms": max(2000, int(self._seconds * 1000)),
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "allow_auto_create_topics": False,
            "metadata_max_age_ms": int(CHECK_SECONDS * 1000),
            "metrics_enabled": False,
        }
        with driver.making(arguments) as made:
            consumer = KafkaConsumer(**arguments)
        return made[0], consumer

    def _assign(self, found: topic.Topic, seconds: float) -> _Places:
        partitions = tuple(TopicPartition(self._topic, number) for number in found.partitions)
        self._consumer.assign(partitions)
        for partition, end in self._consumer.end_offsets(partitions, timeout_ms=int(seconds * 1000)).items():
            self._consumer.seek(partition, end)
        return _Places(found.identity, partitions)

    def _check(self) -> None:
        """Notice what reading alone does not: brokers that are silent, another topic of the same name, more partitions."""
        self._checked = time.monotonic()
        partitions = self._places.partitions
        ends = self._consumer.end_offsets(partitions, timeout_ms=int(min(self._seconds, 2.0) * 1000))
        if any(end < (self._consumer.position(partition, timeout_ms=1000) or 0) for partition, end in ends.items()):
            raise self._gap("has lost records")
        identity = self._client.cluster.topic_id(self._topic)
        if identity is not None and str(identity) != self._places.identity:
            raise self._gap("was made anew")
        known = {partition.partition for partition in partitions}
        new = sorted((self._client.cluster.partitions_for_topic(self._topic) or known) - known)
        if new:
            self._add(tuple(TopicPartition(self._topic, number) for number in new))

    def _add(self, new: tuple[TopicPartition, ...]) -> None:
        # What came into a new partition before it was noticed is read too: nobody has.
        self._places = _Places(self._places.identity, self._places.partitions + new)
        self._consumer.assign(self._places.partitions)
        for partition in new:
            self._consumer.seek(partition, 0)

    def _gap(self, what: str) -> UnavailableError:
        return UnavailableError(f"topic {self._topic} {what}", backend=BACKEND, operation="read")
