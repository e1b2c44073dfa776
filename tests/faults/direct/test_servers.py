"""Servers that die, end or join while the deployment is in use."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx2
import pytest

from configkit.backends.kafka import Address, open_kafka
from configkit.models import ConfigChanged, Event
from tests.faults.direct.figures import check, note
from tests.faults.direct.site import DEADLINE, ENVIRONMENT, Api, Site, apis, fresh_name
from tests.faults.direct.test_outages import CONVERGED
from tests.faults.processes import ServerProcess
from tests.unit.backends.zookeeper.zoo import nodes, plain
from tests.waiting import eventually


@contextmanager
def listening(site: Site, service: str) -> Iterator[dict[int | None, float]]:
    """Give the versions of the service's key that Kafka tells of, with the times."""
    heard: dict[int | None, float] = {}

    def hear(event: Event) -> None:
        if isinstance(event, ConfigChanged) and event.path.service_name == service and event.path.key == "k":
            heard.setdefault(event.version, time.monotonic())

    events = open_kafka(
        Address(site.variables["KAFKA_BOOTSTRAP_SERVERS"]), topic=site.variables["KAFKA_TOPIC_CONFIG_UPDATES"], deadline=DEADLINE
    )
    with closing(events):
        events.bus.subscribe(hear)
        yield heard


def quietly(call: Callable[[], object]) -> None:
    """Make a call whose answer does not come."""
    try:
        call()
    except httpx2.TransportError:
        return


def test_a_server_killed_between_vault_s_write_and_its_announcement(site: Site, server: ServerProcess) -> None:
    fault, service = "server killed between Vault's write and its announcement", fresh_name()
    with site.serving("doomed", proxied=True) as doomed, apis(server, doomed, service=service) as (other, api):
        assert api.create("k", "old").status_code == 201
        with listening(site, service) as heard:
            assert api.put("k", "older").json()["version"] == 2
            eventually(lambda: 2 in heard)
            site.proxies["vault"].holds_after = f"POST /v1/secret/data/{ENVIRONMENT}/{service}/k".encode()
            writing = threading.Thread(target=quietly, args=(lambda: api.put("k", "new"),))
            writing.start()
            path = f"secret/data/{ENVIRONMENT}/{service}/k"
            eventually(lambda: site.vault("GET", path).body["data"]["metadata"]["version"] == 3)
            doomed.kill()
            began = time.monotonic()
            writing.join(10)
            eventually(lambda: 3 in heard, timeout=30)
            check(fault, "told of by another server (an intent rests for twice the deadline)", heard[3] - began, 2 * DEADLINE + 3)
        assert other.get("k").json()["value"] == "new"
        assert (other.get("k", version=1).json()["value"], other.get("k", version=2).json()["value"]) == ("old", "older")


def test_a_server_killed_between_its_acknowledgement_and_the_announcement(site: Site, server: ServerProcess) -> None:
    fault, service = "server killed before it announced an acknowledged write", fresh_name()
    with site.serving("doomed") as doomed, apis(doomed, service=service) as (api,), listening(site, service) as heard:
        assert api.create("k", "old").status_code == 201
        eventually(lambda: 1 in heard)
        site.systems["kafka"].pause()
        version = api.put("k", "new").json()["version"]
        doomed.kill()
        site.systems["kafka"].resume()
        began = time.monotonic()
        eventually(lambda: version in heard, timeout=30)
        check(fault, "told of by another server", heard[version] - began, CONVERGED)
    del server


def test_a_server_killed_at_random_moments_of_writing(site: Site, server: ServerProcess) -> None:
    fault, service, chance = "server killed in mid-write", fresh_name(), random.Random(4)
    wrong = 0
    with apis(server, service=service) as (other,):
        assert other.create("k", 0).status_code == 201
        number = 0
        for _ in range(2):
            with site.serving("doomed") as doomed, apis(doomed, service=service) as (api,):
                threading.Timer(chance.uniform(0.3, 0.8), doomed.kill).start()
                acknowledged = number
                while True:
                    number += 1
                    try:
                        answer = api.put("k", number)
                    except httpx2.TransportError:
                        break
                    if answer.status_code == 200:
                        acknowledged = number
            value = other.get("k", fresh=True).json()["value"]
            wrong += value not in (acknowledged, number)
            number = max(number, value)
    check(fault, "values that are neither the old nor the new one", wrong, 0, "values")


def test_what_registered_over_rest_with_a_server_that_dies(site: Site, server: ServerProcess) -> None:
    fault, service, base = "server killed that held a node", fresh_name(), site.variables["ZOOKEEPER_BASE_PATH"]
    with plain(site.variables["ZOOKEEPER_HOSTS"]) as client, apis(server, service=service) as (other,):
        with site.serving("doomed") as doomed, apis(doomed, service=service) as (api,):
            assert api.register("adoptee").status_code == 201
            first = eventually(lambda: nodes(client, base, service))["adoptee"][1].ephemeralOwner
            eventually(lambda: other.instances().json()["items"])
            doomed.kill()
            began = time.monotonic()
            gaps = 0

            def adopted() -> bool:
                nonlocal gaps
                gaps += not other.instances().json()["items"]
                there = nodes(client, base, service).get("adoptee")
                return there is not None and there[1].ephemeralOwner != first

            eventually(adopted, timeout=30, every=0.05)
        check(fault, "adopted by another server", time.monotonic() - began, 10.0)
        check(fault, "answers of another server without the instance", gaps, 0, "answers")


def load(api: Api, over: threading.Event, wrong: list[str], counts: list[int]) -> None:
    """Write and read until it is over or the server is gone; what must not be goes into *wrong*."""
    key = fresh_name("key")
    number = 0
    while not over.is_set():
        number += 1
        try:
            answers = (api.create(f"{key}-{number}", number), api.get("k"), api.put("k", number), api.instances())
            wrong += [f"{answer.status_code} {answer.text}" for answer in answers if answer.status_code >= 400]
        except httpx2.TransportError as error:
            if not over.is_set():
                wrong.append(repr(error))
            return
        counts.append(number)


def test_a_server_that_is_told_to_end_under_load(site: Site, server: ServerProcess) -> None:
    fault, service, base = "SIGTERM under load", fresh_name(), site.variables["ZOOKEEPER_BASE_PATH"]
    over, wrong, counts = threading.Event(), list[str](), list[int]()
    with site.serving("leaving") as leaving, apis(*[leaving] * 5, service=service) as (api, *others):
        assert api.create("k", 0).status_code == 201
        assert api.register("adoptee").status_code == 201
        with ThreadPoolExecutor(4) as pool, plain(site.variables["ZOOKEEPER_HOSTS"]) as client:
            first = eventually(lambda: nodes(client, base, service))["adoptee"][1].ephemeralOwner
            for other in others:
                pool.submit(load, other, over, wrong, counts)
            eventually(lambda: len(counts) > 20, timeout=30)
            over.set()  # from here on a connection may end, but no answer may be an error
            began = time.monotonic()
            stopping = pool.submit(leaving.stop)
            more: list[str] = []
            for other in others[:2]:
                load_until_gone(other, more)
            assert stopping.result(20) in (0, -15)
            check(fault, "its end", time.monotonic() - began, 5.0)
            eventually(lambda: owner_of(nodes(client, base, service)) not in (None, first), timeout=20)
            check(fault, "what it held is adopted by another", time.monotonic() - began, 5.0)
    check(fault, "answers that are errors", len([one for one in wrong + more if one.startswith("5")]), 0, "answers")
    del server


def owner_of(there: dict[str, tuple[dict[str, object], object]]) -> int | None:
    found = there.get("adoptee")
    return None if found is None else int(found[1].ephemeralOwner)  # type: ignore[attr-defined]


def load_until_gone(api: Api, wrong: list[str]) -> None:
    for number in range(10_000):
        try:
            answers = (api.put("k", number), api.get("k"))
            wrong += [f"{answer.status_code} {answer.text}" for answer in answers if answer.status_code >= 500]
        except httpx2.TransportError:
            return


def test_a_second_server_that_joins_under_load(site: Site, server: ServerProcess) -> None:
    fault, service = "second server added under load", fresh_name()
    over, wrong, counts = threading.Event(), list[str](), list[int]()
    with apis(*[server] * 4, service=service) as first:
        assert first[0].create("k", 0).status_code == 201
        assert first[0].register("one").status_code == 201
        with ThreadPoolExecutor(8) as pool:
            for api in first:
                pool.submit(load, api, over, wrong, counts)
            try:
                with site.serving("joining") as joining, apis(*[joining] * 4, service=service) as second:
                    eventually(second[0].ready, timeout=20)
                    for api in second:
                        pool.submit(load, api, over, wrong, counts)
                    already = len(counts)
                    eventually(lambda: len(counts) > already + 100, timeout=60)
                    over.set()
                    pool.shutdown()
            finally:
                over.set()
    check(fault, f"errors, of {4 * len(counts)} requests", len(wrong), 0, "errors")


@pytest.mark.timeout(200)
def test_five_hundred_changes_seen_by_another_server(site: Site, server: ServerProcess) -> None:
    service = fresh_name()
    with site.serving("other") as other, apis(server, other, service=service) as (writer, reader):
        assert writer.create("k", 0).status_code == 201
        eventually(lambda: reader.get("k").status_code == 200)
        asked, answered = [], []
        for number in range(1, 501):
            began = time.monotonic()
            assert writer.put("k", number).status_code == 200
            acknowledged = time.monotonic()
            eventually(lambda number=number: reader.get("k").json()["value"] == number, every=0.002)  # type: ignore[misc]
            asked.append(time.monotonic() - began)
            answered.append(time.monotonic() - acknowledged)
    for what, times in (("from its request", asked), ("from its answer", answered)):
        times.sort()
        note("500 changes, another server", f"write to visible, {what}: p50", times[250], 0.25)
        note("500 changes, another server", f"write to visible, {what}: p99", times[494], 0.25)
    assert answered[494] <= 0.25
