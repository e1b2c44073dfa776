"""A server killed with -9 at random moments: what was acknowledged is there, and it starts again with no help."""

import random
import threading
import time
from pathlib import Path

import httpx2
import pytest

from tests.faults.processes import ServerProcess, client, servers
from tests.waiting import eventually

WRITES = 200
WHERE = {"environment": "development", "service_name": "asr-service"}


def put(http: httpx2.Client, number: int) -> int | None:
    """Write *number* to the key; return the acknowledged version, or None if there was no answer."""
    body = {"value": number, "comment": f"write {number}"}
    try:
        answer = http.put("/api/v1/config/k", params=WHERE, json=body)
    except httpx2.TransportError:
        return None
    assert answer.status_code == 200, answer.text
    return int(answer.json()["version"])


def write_through_kills(server: ServerProcess, kills: threading.Event) -> dict[int, int]:
    """Write the numbers from 1 on, each once, starting the server again whenever it is gone; return version -> number."""
    acknowledged: dict[int, int] = {}
    number = 0
    while number < WRITES:
        with client(server.url) as http:
            while number < WRITES:
                number += 1
                kills.set()
                version = put(http, number)
                if version is None:
                    break
                acknowledged[version] = number
        if number < WRITES:
            eventually(lambda: not server.url, timeout=10)
            server.start()
    return acknowledged


@pytest.mark.timeout(120)
def test_acknowledged_writes_survive_kills_at_random_moments_with_a_whole_history(tmp_path: Path) -> None:
    chance = random.Random(20)
    with servers(tmp_path) as (server,):
        with client(server.url) as http:
            assert http.post("/api/v1/config", json={"key": "k", "value": 0, **WHERE}).status_code == 201
        kills, over = threading.Event(), threading.Event()

        def kill_now_and_then() -> None:
            for _ in range(5):
                kills.clear()
                kills.wait(30)
                if over.wait(chance.uniform(0.05, 0.4)):
                    return
                if server.url:
                    server.kill()

        killer = threading.Thread(target=kill_now_and_then)
        killer.start()
        acknowledged = write_through_kills(server, kills)
        over.set()
        killer.join(60)
        if not server.url:
            server.start()
        with client(server.url) as http:
            last = http.get("/api/v1/config/k", params=WHERE).json()["version"]
            history = {
                item["version"]: item["value"]
                for offset in range(0, last, 100)
                for item in http.get("/api/v1/config/k/history", params={**WHERE, "limit": 100, "offset": offset}).json()["items"]
            }
    kept = range(max(1, last - 99), last + 1)
    assert sorted(history) == list(kept)
    assert {version: history[version] for version in acknowledged if version in kept} == {
        version: number for version, number in acknowledged.items() if version in kept
    }
    assert last >= max(acknowledged)
    numbers = [history[version] for version in kept]
    assert numbers == sorted(numbers)
    assert len(acknowledged) >= WRITES - 5


def test_a_server_that_is_told_to_end_answers_what_it_has_begun_and_exits_cleanly(tmp_path: Path) -> None:
    with servers(tmp_path) as (server,):
        statuses: list[int | str] = []
        stopping = threading.Event()

        def load() -> None:
            with client(server.url) as http:
                number = 0
                while not stopping.is_set() or number == 0:
                    number += 1
                    try:
                        answer = http.post(
                            "/api/v1/config", json={"key": f"k{threading.get_ident()}-{number}", "value": 1, **WHERE}
                        )
                    except httpx2.TransportError as error:
                        statuses.append(type(error).__name__)
                        return
                    statuses.append(answer.status_code)

        writers = [threading.Thread(target=load) for _ in range(4)]
        for writer in writers:
            writer.start()
        eventually(lambda: len(statuses) > 20, timeout=20)
        begun = time.monotonic()
        status = server.stop()
        assert time.monotonic() - begun < 5
        stopping.set()
        for writer in writers:
            writer.join(20)
    assert status in (0, -15)
    assert not [code for code in statuses if isinstance(code, int) and code >= 500]
