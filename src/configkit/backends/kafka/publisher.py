"""Announcing events: durably, or an error by the deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from configkit.backends.kafka import cloudevents, driver, topic
from configkit.backends.kafka.address import Address
from configkit.backends.kafka.driver import KafkaProducer
from configkit.errors import BackendError, ClosedError
from configkit.models import Event

_INHERITED: list[KafkaProducer | None] = []
"""What a forked child has of its parent: kept, so that nothing is ended on the parent's connections."""


class KafkaPublisher:
    """
    An `EventPublisher` on one topic, keyed by what an event is about.

    After a failure the next call begins with a new producer: what is left in the old one is given up, since the journal
    announces it again.

    Args:
        deadline: Seconds within which `publish` returns or raises.
    """

    def __init__(self, address: Address, topic_name: str, *, deadline: float) -> None:
        self._address = address
        self._topic = topic_name
        self._deadline = deadline
        self._closed = False
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None

    def publish(self, events: Sequence[Event]) -> None:
        """
        Return when all of *events* are on every in-sync replica.

        Raises:
            UnavailableError: Not within the deadline; some may be, and some may come to be.
            AccessDeniedError: The account may not write to the topic.
        """
        ends = time.monotonic() + self._deadline
        records = [cloudevents.encode(event) for event in events]
        producer = self._made(ends)
        try:
            with driver.translated(self._address, "publish"):
                sent = [producer.send(self._topic, key=each.key, value=each.value, headers=list(each.headers)) for each in records]
                for future in sent:
                    future.get(timeout=max(0.0, ends - time.monotonic()))
        except BackendError:
            self._give_up(producer)
            raise

    def ping(self) -> None:
        """Return if the brokers answer and the topic is there. Raises as `publish` does."""
        topic.ensure(self._address, self._topic, seconds=self._deadline)

    def close(self) -> None:
        """Give up what is not sent yet, and close the connections. Closing again does nothing."""
        self._closed = True
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            driver.abandon(producer)

    def after_fork(self) -> None:
        """Leave the parent's producer alone, and make this process's own when it is needed."""
        _INHERITED.append(self._producer)
        self._forget()

    def _made(self, ends: float) -> KafkaProducer:
        with self._lock:
            if self._closed:
                raise ClosedError
            producer = self._producer = self._producer or self._make(max(0.1, ends - time.monotonic()))
            return producer

    def _make(self, seconds: float) -> KafkaProducer:
        topic.ensure(self._address, self._topic, seconds=seconds)
        milliseconds = int(self._deadline * 1000)
        arguments = driver.options(self._address, seconds=seconds) | {
            "acks": "all",
            "enable_idempotence": True,
            "request_timeout_ms": milliseconds,
            "delivery_timeout_ms": milliseconds,
            "max_block_ms": milliseconds,
            "allow_auto_create_topics": False,
            "metrics_enabled": False,
        }
        with driver.translated(self._address, "connect"), driver.making(arguments):
            return KafkaProducer(**arguments)

    def _give_up(self, producer: KafkaProducer) -> None:
        with self._lock:
            current = self._producer is producer
            if current:
                self._producer = None
        if current:
            driver.abandon(producer)
