from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest
from scripts.services import Server

from configkit.backends.kafka import Address, open_kafka
from configkit.backends.kafka.driver import KafkaAdminClient, KafkaProducer, kafka_errors, making, options
from configkit.backends.kafka.events import KafkaEvents
from configkit.models import ConfigChanged, ConfigPath, Event, Resync, utcnow
from tests import services

Open = Callable[..., KafkaEvents]


@pytest.fixture
def brokers() -> Address:
    return Address(services.need("kafka")["KAFKA_BOOTSTRAP_SERVERS"])


@pytest.fixture
def topic() -> Iterator[str]:
    """A name that nobody else uses; what was made of it on the shared brokers is removed."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    if servers := services.env().get("KAFKA_BOOTSTRAP_SERVERS"):
        with closing(admin(Address(servers))) as client, suppress(kafka_errors.UnknownTopicOrPartitionError):
            client.delete_topics([name])


@pytest.fixture
def opened(topic: str) -> Iterator[Open]:
    """Opens the events on a topic, as often as wanted, and closes them before the topic goes."""
    with ExitStack() as stack:

        def open_(address: Address, topic: str, **more: Any) -> KafkaEvents:
            events = open_kafka(address, topic=topic, **more)
            stack.callback(events.close)
            return events

        yield open_


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Kafka of the module's own, to do harm to; each test leaves it running."""
    with services.private("kafka", tmp_path_factory.mktemp("kafka")) as private:
        yield private


def admin(address: Address) -> KafkaAdminClient:
    arguments = options(address, seconds=5.0)
    with making(arguments):
        return KafkaAdminClient(**arguments)


def producer(address: Address) -> KafkaProducer:
    arguments = options(address, seconds=5.0) | {"allow_auto_create_topics": False, "metrics_enabled": False}
    with making(arguments):
        return KafkaProducer(**arguments)


class Heard:
    """A subscriber that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def ids(self) -> list[str]:
        return [event.id for event in list(self.events) if not isinstance(event, Resync)]

    @property
    def resyncs(self) -> int:
        return sum(isinstance(event, Resync) for event in list(self.events))


def event(number: int, key: str = "k") -> ConfigChanged:
    return ConfigChanged(f"e-{number}", ConfigPath("development", "asr", f"{key}{number}"), number + 1, deleted=False, at=utcnow())
