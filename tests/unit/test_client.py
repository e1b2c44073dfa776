"""The whole client on the embedded file, across processes, forks and endings."""

import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import configkit
from configkit.backends.memory import open_memory
from configkit.client import ConfigKit
from configkit.errors import ClosedError
from tests.waiting import eventually


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "configkit.db"
    monkeypatch.setenv("CONFIGKIT_DATABASE_URL", f"sqlite:///{file}")
    return file


@pytest.fixture
def kit(file: Path) -> Iterator[ConfigKit]:
    with configkit.connect(service_name="asr-service") as kit:
        yield kit


def python(code: str) -> str:
    """Run *code* in another process on the same file, with `kit` connected."""
    lines = "import configkit\nkit = configkit.connect(service_name='asr-service')\n" + textwrap.dedent(code) + "\nkit.close()"
    done = subprocess.run([sys.executable, "-c", lines], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_change_in_another_process_arrives_within_a_second(kit: ConfigKit) -> None:
    kit.config.set("model_path", "/old")
    kit.flags.create("new_ui")
    heard: list[float] = []
    kit.config.on_change("model_path", lambda change: heard.append(time.time()))
    printed = python(
        """
        import time
        kit.config.set("model_path", "/new"); print(time.time())
        kit.flags.update("new_ui", is_enabled=True, rollout_percentage=100)
        """
    )
    assert eventually(lambda: heard, timeout=2)
    assert heard[0] - float(printed) <= 1.0
    assert kit.config.get("model_path") == "/new"
    assert eventually(lambda: kit.flags.is_enabled("new_ui", user_id="u1"), timeout=2)


def in_a_fork(check: Callable[[], object]) -> object:
    """Return what *check* returns in a forked child of this process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer: object = check()
        except BaseException as error:  # noqa: BLE001
            answer = repr(error)
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = json.loads(pipe.read() or '"the child died"')
    os.waitpid(child, 0)
    return answer


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_sees_changes_and_can_write_without_code_of_the_application(kit: ConfigKit) -> None:
    kit.config.set("k", "before")
    kit.flags.create("flag")
    parent = os.getpid()

    def child() -> object:
        first = kit.config.get("k")
        python("kit.config.set('k', 'after'); kit.flags.update('flag', is_enabled=True, rollout_percentage=100)")
        begun = time.monotonic()
        eventually(lambda: kit.config.get("k") == "after" and kit.flags.is_enabled("flag", user_id="u"), timeout=5)
        kit.config.set("from_child", os.getpid() != parent)
        return [first, time.monotonic() - begun < 5]

    assert in_a_fork(child) == ["before", True]
    assert eventually(lambda: kit.config.get("from_child", None) is True)
    kit.config.set("k", "parent still works")
    assert kit.config.get("k") == "parent still works"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_threads_hold_locks_still_works(kit: ConfigKit) -> None:
    kit.config.set("k", 0)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            kit.config.set("k", number)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        answers = [in_a_fork(lambda: kit.config.get("k") >= 0 and kit.config.set("c", 1) > 0) for _ in range(10)]
    finally:
        stop.set()
        for writer in writers:
            writer.join(20)
    assert answers == [True] * 10


KITS: list[ConfigKit] = []


def get(key: str) -> object:
    return KITS[0].config.get(key)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_multiprocessing_children_read_what_the_parent_knew(kit: ConfigKit) -> None:
    kit.config.set("k", "v")
    KITS[:] = [kit]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(get, ["k"] * 4) == ["v"] * 4
        pool.close()
        pool.join()


def test_closing_is_idempotent_bounded_and_leaves_no_thread(file: Path) -> None:
    before = set(threading.enumerate())
    kit = configkit.connect(service_name="asr-service")
    kit.config.set("k", 1)
    begun = time.monotonic()
    kit.close()
    kit.close()
    assert time.monotonic() - begun < 2
    assert eventually(lambda: not set(threading.enumerate()) - before)
    assert kit.config.get("k") == 1
    with pytest.raises(ClosedError):
        kit.config.get("never_asked_for")
    with pytest.raises(ClosedError):
        kit.config.set("k", 2)


def test_events_reach_listeners_until_they_end() -> None:
    with ConfigKit(open_memory(), service_name="asr-service") as kit:
        events: list[object] = []
        end = kit.on_event(events.append)
        kit.config.set("k", 1)
        assert eventually(lambda: events)
        end()
        end()
        count = len(events)
        kit.config.set("k", 2)
        assert eventually(lambda: kit.config.get("k") == 2)
        assert len(events) == count


def test_two_clients_of_one_process_keep_their_services_apart(file: Path) -> None:
    with configkit.connect(service_name="one") as one, configkit.connect(service_name="two") as two:
        one.config.set("k", 1)
        two.config.set("k", 2)
        assert (one.config.get("k"), two.config.get("k")) == (1, 2)


def test_a_process_that_never_closes_its_client_ends_all_the_same(file: Path) -> None:
    code = (
        "import configkit; kit = configkit.connect(service_name='asr-service'); kit.config.set('k', 1); print(kit.config.get('k'))"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "1", "")
    assert time.monotonic() - begun < 10


def test_a_watch_of_ten_thousand_keys_costs_no_statement_while_nothing_changes(file: Path, kit: ConfigKit) -> None:
    from sqlalchemy import Engine, event, insert

    from configkit.backends.sql import schema

    names = [f"key_{number}" for number in range(10_000)]
    now = datetime.now(UTC)
    head = {"environment": "development", "service_name": "asr-service", "version": 1, "deleted": False, "ever_secret": False}
    content = {"version": 1, "value": "1", "is_encrypted": False, "deleted": False, "written_at": now}
    database = kit.backends.config._database  # type: ignore[attr-defined]
    with database.writing("fill") as connection:
        rows = [{"id": at + 1, "key": name, "created_at": now, **head} for at, name in enumerate(names)]
        connection.execute(insert(schema.config_key), rows)
        connection.execute(insert(schema.config_version), [{"config_key_id": row["id"], **content} for row in rows])
    heard: list[str] = []
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    with configkit.connect(service_name="asr-service") as watching:
        assert len(watching.config.keys()) == 10_000
        for name in names:
            watching.config.on_change(name, lambda change: heard.append(change.key))
        event.listen(Engine, "before_cursor_execute", count)
        try:
            idle = time.monotonic() + 1.5
            eventually(lambda: time.monotonic() > idle, timeout=5)
            assert statements == []
            kit.config.set("key_42", 2)
            assert eventually(lambda: heard == ["key_42"], timeout=2)
        finally:
            event.remove(Engine, "before_cursor_execute", count)
