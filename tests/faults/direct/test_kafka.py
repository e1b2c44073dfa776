"""Kafka away, or its topic deleted: writes are acknowledged, told of later, and found by reconciling meanwhile."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from configkit.backends.kafka import Address
from tests.faults.direct.figures import check
from tests.faults.direct.site import DEADLINE, SLACK, Site, visible
from tests.faults.direct.test_hangs import NETWORK
from tests.faults.direct.test_outages import CONVERGED
from tests.faults.direct.test_servers import listening
from tests.faults.direct.watching import story
from tests.faults.processes import ServerProcess
from tests.unit.backends.kafka.conftest import admin
from tests.waiting import eventually

RECONCILED = 31.0


@pytest.mark.timeout(180)
def test_a_kafka_that_is_away(site: Site, server: ServerProcess) -> None:
    fault = "kafka down"
    with story(site, server) as told:
        site.systems["kafka"].kill()
        began = time.monotonic()
        answer = told.api.put("k", 1_000)
        check(fault, "answer to a write", time.monotonic() - began, DEADLINE + SLACK, tolerance=NETWORK)
        assert answer.status_code == 200
        eventually(visible(told.kit, "k", 1_000), timeout=RECONCILED + 10)
        check(fault, "write to visible in another process", time.monotonic() - began, RECONCILED)
        site.systems["kafka"].start()
        began = time.monotonic()
        with listening(site, told.api.service) as heard:
            version = told.api.put("k", 1_001).json()["version"]
            eventually(lambda: version in heard, timeout=20)
            check(fault, "Kafka tells of changes after its return", time.monotonic() - began, CONVERGED)
        check(fault, "all well again after its return", told.seconds_to_converge(), CONVERGED)


@pytest.mark.timeout(180)
def test_a_topic_that_is_deleted(site: Site, server: ServerProcess) -> None:
    fault = "kafka topic deleted"
    with story(site, server) as told, closing(admin(Address(site.variables["KAFKA_BOOTSTRAP_SERVERS"]))) as client:
        client.delete_topics([site.variables["KAFKA_TOPIC_CONFIG_UPDATES"]])
        began = time.monotonic()
        answer = told.api.put("k", 1_000)
        check(fault, "answer to a write", time.monotonic() - began, DEADLINE + SLACK, tolerance=NETWORK)
        assert answer.status_code == 200
        eventually(visible(told.kit, "k", 1_000), timeout=RECONCILED + 10)
        check(fault, "write to visible in another process", time.monotonic() - began, RECONCILED)
        began = time.monotonic()
        with listening(site, told.api.service) as heard:
            version = told.api.put("k", 1_001).json()["version"]
            eventually(lambda: version in heard, timeout=20)
        check(fault, "told of through the topic that was made anew", time.monotonic() - began, CONVERGED)
        check(fault, "all well again", told.seconds_to_converge(), CONVERGED)
