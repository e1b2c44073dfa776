"""Compare-and-set by many processes at once: nothing is lost, nothing is doubled, and everybody gets on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from configkit.backends.sql import open_sqlite
from configkit.models import ConfigPath, Origin
from tests.faults.processes import client, servers

PROCESSES, INCREMENTS = 8, 200
PATH = ConfigPath("development", "asr-service", "counter")

ON_THE_FILE = """
import json, sys
from configkit.backends.sql import open_sqlite
from configkit.errors import ConflictError
from configkit.models import ConfigPath, Origin
backends, path, done = open_sqlite(sys.argv[1], master_key=None, deadline=30.0), ConfigPath("development", "asr-service", "counter"), []
document = backends.config.read(path)
version, value = document.version, document.value
while len(done) < int(sys.argv[2]):
    try:
        written = backends.config.update(path, value + 1, expected_version=version, origin=Origin("p"))
        version, value = written.version, written.value
        done.append(version)
    except ConflictError as conflict:
        document = backends.config.read(path)
        assert document.version >= conflict.actual
        version, value = document.version, document.value
backends.close()
print(json.dumps(done))
"""

OVER_REST = """
import json, sys
import httpx2
done = []
where = {"environment": "development", "service_name": "asr-service"}
with httpx2.Client(base_url=sys.argv[1], timeout=60.0, trust_env=False) as http:
    fresh = {"Cache-Control": "no-cache"}
    document = http.get("/api/v1/config/counter", params=where, headers=fresh).json()
    while len(done) < int(sys.argv[2]):
        body = {"value": document["value"] + 1, "expected_version": document["version"]}
        answer = http.put("/api/v1/config/counter", params=where, json=body)
        if answer.status_code == 200:
            document = answer.json()
            done.append(document["version"])
        else:
            assert answer.status_code == 412, (answer.status_code, answer.text)
            current = answer.json()["current_version"]
            assert current > document["version"]
            document = http.get("/api/v1/config/counter", params=where, headers=fresh).json()
            assert document["version"] >= current
print(json.dumps(done))
"""


def increment(script: str, targets: list[str]) -> list[int]:
    """Run a process for each target and return every version that was acknowledged."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, target, str(INCREMENTS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for target in targets
    ]
    outputs = [process.communicate(timeout=110) for process in running]
    assert [process.returncode for process in running] == [0] * len(running), [error for _, error in outputs]
    return [version for output, _ in outputs for version in json.loads(output)]


def create_counter(folder: Path) -> None:
    backends = open_sqlite(str(folder / "configkit.db"), master_key=None)
    backends.config.create(PATH, 0, is_encrypted=False, origin=Origin("test"))
    backends.close()


def final(folder: Path) -> tuple[int, int]:
    backends = open_sqlite(str(folder / "configkit.db"), master_key=None)
    document = backends.config.read(PATH)
    backends.close()
    return document.value, document.version


@pytest.mark.timeout(150)
def test_eight_processes_on_the_file_lose_and_double_nothing(tmp_path: Path) -> None:
    create_counter(tmp_path)
    versions = increment(ON_THE_FILE, [str(tmp_path / "configkit.db")] * PROCESSES)
    assert sorted(versions) == list(range(2, 2 + PROCESSES * INCREMENTS))
    assert final(tmp_path) == (PROCESSES * INCREMENTS, PROCESSES * INCREMENTS + 1)


@pytest.mark.timeout(150)
def test_eight_processes_over_two_servers_on_one_file_lose_and_double_nothing(tmp_path: Path) -> None:
    create_counter(tmp_path)
    with servers(tmp_path, 2) as pair:
        versions = increment(OVER_REST, [pair[number % 2].url for number in range(PROCESSES)])
        assert sorted(versions) == list(range(2, 2 + PROCESSES * INCREMENTS))
        for server in pair:
            with client(server.url) as http:
                where = {"environment": "development", "service_name": "asr-service"}
                answer = http.get("/api/v1/config/counter", params=where, headers={"Cache-Control": "no-cache"})
                assert (answer.json()["value"], answer.json()["version"]) == (PROCESSES * INCREMENTS, PROCESSES * INCREMENTS + 1)
    assert final(tmp_path) == (PROCESSES * INCREMENTS, PROCESSES * INCREMENTS + 1)
