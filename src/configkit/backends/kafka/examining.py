"""A closer look at Kafka: how many brokers there are, and whether the topic is."""

from __future__ import annotations

from configkit.backends.kafka import topic
from configkit.backends.kafka.address import Address
from configkit.ports import Examination


def examine(address: Address, name: str, *, seconds: float) -> Examination:
    """
    Return what there is; nothing is made, and nothing is announced.

    Raises:
        UnavailableError: No broker answered within *seconds*.
        AccessDeniedError: The account was refused, or may not read the topic.
    """
    brokers, found = topic.look(address, name, seconds=seconds)
    there = f"{brokers} broker{'' if brokers == 1 else 's'}, topic {name}"
    if found is None:
        remedy = f"a server makes it when it starts, if its account may; otherwise make it with {topic.PARTITIONS} partitions"
        return Examination(detail=there, notes=(f"topic {name} does not exist yet: {remedy}",))
    return Examination(detail=f"{there} with {len(found.partitions)} partitions")
