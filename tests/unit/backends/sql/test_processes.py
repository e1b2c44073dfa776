"""Many processes on one file."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from configkit.models import ConfigChanged, ConfigPath, Event
from tests.unit.backends.sql.conftest import Open, Work
from tests.unit.backends.sql.worker import ORIGIN, PATH
from tests.waiting import eventually

EACH = int(os.environ.get("CONFIGKIT_TEST_INCREMENTS", "200"))


@pytest.mark.parametrize("processes", [8])
def test_no_increment_of_eight_processes_is_lost_or_doubled(opened: Open, work: Work, processes: int) -> None:
    config = opened().config
    config.create(PATH, 0, is_encrypted=False, origin=ORIGIN)
    workers = [work("increment", EACH) for _ in range(processes)]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors
    total = processes * EACH
    latest = config.read(PATH)
    assert (latest.value, latest.version) == (total, total + 1)
    kept = config.history(PATH, limit=100).items
    assert [(version.version, version.value) for version in kept] == [(total + 1 - i, total - i) for i in range(len(kept))]


def test_what_a_killed_writer_was_told_is_there_and_history_is_whole(opened: Open, work: Work, file: Path) -> None:
    opened()
    random.seed(7)
    for attempt in range(4):
        key = f"key{attempt}"
        writer = work("write", key)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(random.uniform(0.0, 0.15))
        writer.send_signal(signal.SIGKILL)
        told = [int(line) for line in (first + writer.stdout.read()).splitlines() if line.isdigit()]
        writer.wait(5)
        path = ConfigPath("development", "svc", key)
        config = opened().config
        latest = config.read(path)
        assert latest.version >= max(told) > 0
        kept = config.history(path, limit=500).items
        assert [version.version for version in kept] == list(range(latest.version, latest.version - len(kept), -1))
        assert all(version.value == version.version for version in kept)
        assert len(kept) == min(latest.version, 100)
        assert config.update(path, "next", origin=ORIGIN).version == latest.version + 1
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_processes_that_race_at_first_start_make_the_tables_and_the_key_once(opened: Open, work: Work, file: Path) -> None:
    workers = [work("open_only", f"key{number}") for number in range(6)]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors
    found = opened().config.read_service("development", "svc")
    assert [document.value for document in found.values()] == ["secret"] * 6
    assert sorted(each.name for each in file.parent.iterdir() if ".key" in each.name) == ["configkit.db.key"]


def test_a_change_of_another_process_is_told_within_a_second(opened: Open, work: Work) -> None:
    backends = opened()
    told: list[tuple[float, Event]] = []
    backends.bus.subscribe(lambda event: told.append((time.monotonic(), event)))
    writer = work("set_once", "key")
    output, errors = writer.communicate(timeout=30)
    assert writer.returncode == 0, errors
    eventually(lambda: told)
    at, event = told[0]
    assert isinstance(event, ConfigChanged)
    assert event.path.key == "key"
    assert at - float(output) < 1.0


def test_an_instance_leaves_after_its_process_was_killed(opened: Open, work: Work) -> None:
    registry = opened().registry
    process = work("register", "one")
    assert process.stdout is not None
    assert process.stdout.readline() == "registered\n"
    assert [instance.instance_id for instance in registry.instances("svc")] == ["one"]
    process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    eventually(lambda: not registry.instances("svc"), timeout=7.0, every=0.1)
    assert time.monotonic() - killed < 7.0
    assert registry.services() == []


def test_a_forked_child_writes_and_is_told_while_the_parent_goes_on_and_closes(opened: Open, work: Work) -> None:
    output, errors = work("fork", "key").communicate(timeout=30)
    assert output == "child ended with 0\n", errors
    backends = opened()
    assert [version.value for version in backends.config.history(ConfigPath("development", "svc", "key"), limit=10)] == [
        5,
        4,
        3,
        2,
        1,
    ]
