"""A secret through every operation and through faults: it is in Vault, and nowhere else."""

from __future__ import annotations

import logging
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import httpx2
import pytest
import redis
from scripts.services.provision import Program
from scripts.services.vault import seal, unseal

from configkit.backends.kafka import Address
from configkit.backends.kafka.driver import KafkaConsumer, TopicPartition, making, options
from configkit.errors import ConfigKitError
from tests.faults.direct.figures import check
from tests.faults.direct.site import Api, Site
from tests.faults.direct.watching import story
from tests.faults.processes import ServerProcess

PG_DUMP = Program("pg_dump", "postgresql", tuple(f"/usr/lib/postgresql/{version}/bin" for version in range(15, 20)))


def in_redis(site: Site) -> Iterator[bytes]:
    """Yield every key and what it holds."""
    with redis.Redis(port=site.port("redis"), password=site.variables["REDIS_PASSWORD"]) as client:
        for key in client.scan_iter():
            kind = client.type(key)
            yield bytes(key)
            yield repr(client.hgetall(key) if kind == b"hash" else client.get(key)).encode()


def in_kafka(site: Site) -> Iterator[bytes]:
    """Yield every record."""
    arguments = options(Address(site.variables["KAFKA_BOOTSTRAP_SERVERS"]), seconds=5.0) | {
        "group_id": None,
        "metrics_enabled": False,
    }
    with making(arguments), closing(KafkaConsumer(**arguments)) as consumer:
        places = [TopicPartition(topic, part) for topic in consumer.topics() for part in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    yield repr(record).encode()


def in_postgres(site: Site) -> bytes:
    """Return a dump of the database."""
    place = site.systems["postgres"].place
    address = ["-h", "127.0.0.1", "-p", str(place.ports["client"]), "-U", "postgres", "configkit"]
    environ = {"PGPASSWORD": place.passwords["superuser"]}
    return subprocess.run([PG_DUMP.path(), *address], check=True, capture_output=True, env=environ).stdout


def through_everything(site: Site, api: Api, canary: str) -> tuple[list[httpx2.Response], list[httpx2.Response]]:
    """Send *canary* through every operation; return what was to be masked, and what was to be shown."""
    masked, bad = [], {"value": {"nested": [canary]}, "unknown-field": canary}
    for body in ({"value": canary}, {"value": {"nested": [canary]}}):
        masked.append(api.create("secret", body["value"], is_encrypted=True))
        masked.append(api.put("secret", f"{canary} again", comment="changed"))
        masked += [api.put("secret", canary, expected_version=1), api.put("secret", canary, expected_version=99)]
        masked += [api.create("secret", canary, is_encrypted=True), api.create("sec..ret", canary, is_encrypted=True)]
        masked.append(api.http.put("/api/v1/config/secret", params=api.where, json=bad))
        masked.append(api.http.put("/api/v1/config/secret", params=api.where, content=f'{{"value": "{canary}"'))
        masked.append(api.http.put("/api/v1/config/secret", params={**api.where, "environment": "nowhere"}, json={"value": canary}))
        masked.append(api.http.post("/api/v1/config", json={"key": "k", "value": canary, "is_encrypted": True, **api.where}))
        masked.append(
            api.http.put(
                "/api/v1/config/secret", params=api.where, json={"value": canary}, headers={"Idempotency-Key": canary[:16]}
            )
        )
        masked.append(api.http.get("/api/v1/config", params=api.where))
        masked.append(api.http.get("/api/v1/config/secret/history", params=api.where))
        masked.append(api.http.post("/api/v1/config/secret/rollback", params=api.where, json={"version": 1}))
        masked.append(api.http.post("/api/v1/config/bulk", json={**api.where, "keys": ["secret"]}))
        shown = [api.get("secret"), api.http.get("/api/v1/config", params={**api.where, "reveal": True})]
        masked.append(api.delete("secret"))
    masked.append(api.create("plain", "nothing"))
    masked.append(api.put("plain", canary, is_encrypted=True))  # becomes secret
    with_faults(site, api, canary, masked)
    return masked, shown


def with_faults(site: Site, api: Api, canary: str, answers: list[httpx2.Response]) -> None:
    """Write *canary* while each of the systems is of no use."""
    seal(site.systems["vault"].place)
    answers += [api.put("plain", canary, is_encrypted=True), api.create("other", canary, is_encrypted=True)]
    unseal(site.systems["vault"].place)
    for name in ("redis", "postgres", "kafka"):
        site.systems[name].pause()
        answers += [api.create(f"with-{name}", canary, is_encrypted=True), api.put("plain", canary, is_encrypted=True)]
        site.systems[name].resume()


def test_a_secret_is_in_vault_and_nowhere_else(site: Site, server: ServerProcess, caplog: pytest.LogCaptureFixture) -> None:
    canary, fault = f"canary{uuid.uuid4().hex}", "canary secret"
    needle = canary.encode()
    with caplog.at_level(logging.DEBUG, logger="configkit"), story(site, server) as told:
        masked, shown = through_everything(site, told.api, canary)
        told.kit.config.set("mine", canary, is_encrypted=True)
        assert told.kit.config.get("mine") == canary
        acts: list[Callable[[], object]] = [
            lambda: told.kit.config.set("mine", canary, expected_version=99),
            lambda: told.kit.config.set("mine", canary, is_encrypted=True, comment=None),
            lambda: told.kit.config.rollback("mine", 1),
        ]
        for act in acts:
            with suppress(ConfigKitError):
                act()
        told.seconds_to_converge()
        assert any(canary in answer.text for answer in shown), "whoever may see it sees it"
        places = {
            "Redis keys": b"\n".join(in_redis(site)),
            "Kafka records": b"\n".join(in_kafka(site)),
            "PostgreSQL dump": in_postgres(site),
            "server's log": server.log.read_bytes(),
            "library's log": caplog.text.encode(),
            "metrics": told.api.http.get("/metrics").content,
            "masked and error bodies": b"\n".join(answer.content for answer in masked),
            "repr of the client": repr([told.kit, told.kit.config.history("mine"), told.kit.status()]).encode(),
        }
        assert b"configkit" in places["Redis keys"]
        assert told.api.service.encode() in places["Kafka records"]
        assert told.api.service.encode() in places["PostgreSQL dump"]
    for where, content in places.items():
        check(fault, f"hits in {where} ({len(content)} bytes)", content.count(needle), 0, "hits")
