"""The topic that tells of changes: found, or made where that is permitted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from configkit.backends.kafka import driver
from configkit.backends.kafka.address import Address
from configkit.backends.kafka.driver import BACKEND, KafkaAdminClient, kafka_errors
from configkit.errors import AccessDeniedError, UnavailableError

PARTITIONS = 3
"""Order matters for each document only, and a partition is one more thing that every process reads."""
REPLICAS = 3
SETTINGS = {"cleanup.policy": "delete", "retention.ms": str(24 * 3600 * 1000)}
"""Who was away for longer reads everything again anyway."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is: *identity* is another one after it was deleted and made again."""

    identity: str
    partitions: tuple[int, ...]


def ensure(address: Address, name: str, *, seconds: float) -> Topic:
    """
    Return the topic, made if it is not there.

    Raises:
        UnavailableError: No answer within *seconds*.
        AccessDeniedError: It may not be read; or it is absent and may not be made, and the message says what to do.
    """
    ends = time.monotonic() + seconds
    with driver.translated(address, "find the topic"), _admin(address, seconds) as admin:
        found = _find(admin, name)
        if found is None:
            _make(admin, name, max(0.1, ends - time.monotonic()))
        while found is None or not found.partitions:
            if time.monotonic() > ends:
                raise UnavailableError(f"topic {name} is not ready", backend=BACKEND, operation="find the topic")
            found = _find(admin, name)
    return found


def look(address: Address, name: str, *, seconds: float) -> tuple[int, Topic | None]:
    """Return how many brokers there are, and the topic if it is there. Raises as `ensure` does; makes nothing."""
    with driver.translated(address, "look at the topic"), _admin(address, seconds) as admin:
        return len(admin.describe_cluster()["brokers"]), _find(admin, name)


def remove(address: Address, name: str, *, seconds: float) -> None:
    """Remove the topic, for demonstrations and tests; one that is not there is no error. Raises as `ensure` does."""
    with driver.translated(address, "remove the topic"), _admin(address, seconds) as admin:
        try:
            admin.delete_topics([name])
        except kafka_errors.UnknownTopicOrPartitionError:
            return


@contextmanager
def _admin(address: Address, seconds: float) -> Iterator[KafkaAdminClient]:
    arguments = driver.options(address, seconds=seconds * 0.45)  # connecting and asking are two steps
    with driver.making(arguments):
        admin = KafkaAdminClient(**arguments)
    try:
        yield admin
    finally:
        admin.close()


def _find(admin: KafkaAdminClient, name: str) -> Topic | None:
    (found,) = admin.describe_topics([name])
    code = found["error_code"]
    if code == kafka_errors.UnknownTopicOrPartitionError.errno:
        return None
    if code == kafka_errors.LeaderNotAvailableError.errno:
        return Topic("", ())
    if code:
        raise kafka_errors.for_code(code)
    partitions: list[dict[str, Any]] = found["partitions"]
    ready = all(partition["leader_id"] >= 0 for partition in partitions)
    return Topic(str(found["topic_id"]), tuple(sorted(partition["partition_index"] for partition in partitions)) if ready else ())


def _make(admin: KafkaAdminClient, name: str, seconds: float) -> None:
    replicas = min(REPLICAS, len(admin.describe_cluster()["brokers"]))
    settings = SETTINGS | ({"min.insync.replicas": "2"} if replicas >= 3 else {})
    wanted = {name: {"num_partitions": PARTITIONS, "replication_factor": replicas, "configs": settings}}
    try:
        admin.create_topics(wanted, timeout_ms=int(seconds * 1000))
    except kafka_errors.TopicAlreadyExistsError:
        return
    except (kafka_errors.AuthorizationError, kafka_errors.PolicyViolationError) as error:
        message = f"topic {name} does not exist and may not be made with this account: make it, with {PARTITIONS} partitions"
        raise AccessDeniedError(message, backend=BACKEND, operation="make the topic") from error
