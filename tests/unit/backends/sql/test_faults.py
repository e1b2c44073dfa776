"""Real faults of file and disk: each is UnavailableError or another clear answer, and names a remedy."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from configkit.backends.sql import open_sqlite
from configkit.errors import BackendError, ClosedError, UnavailableError
from configkit.models import ConfigPath, Origin
from tests.unit.backends.sql.conftest import ROOT, Open

PATH = ConfigPath("development", "svc", "key")
ORIGIN = Origin("ann")
CANARY = "canary-5f1c"
NOBODY = 65534


def test_a_file_locked_for_longer_than_the_deadline_is_unavailable_and_then_available_again(opened: Open, file: Path) -> None:
    config = opened(deadline=0.3).config
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match="in use") as caught:
            config.create(PATH, CANARY, is_encrypted=False, origin=ORIGIN)
        assert 0.3 <= time.monotonic() - begun < 0.5
        other.execute("ROLLBACK")
    assert CANARY not in str(caught.value)
    assert "database is locked" not in str(caught.value)
    assert config.create(PATH, CANARY, is_encrypted=False, origin=ORIGIN).version == 1


def test_readers_do_not_wait_for_a_writer(opened: Open, file: Path) -> None:
    config = opened(deadline=0.3).config
    config.create(PATH, "there", is_encrypted=False, origin=ORIGIN)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert config.read(PATH).value == "there"


def test_a_full_disk_is_unavailable_and_nothing_is_written(opened: Open, file: Path) -> None:
    backends = opened()
    backends.config.create(PATH, "there", is_encrypted=False, origin=ORIGIN)
    program = """
import resource, signal, sys
from configkit.backends.sql import open_sqlite
from configkit.models import ConfigPath, Origin
from configkit.errors import UnavailableError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
backends = open_sqlite(sys.argv[1], master_key=None)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    backends.config.update(ConfigPath("development", "svc", "key"), "canary-5f1c" * 40_000, origin=Origin())
except UnavailableError as error:
    print(error)
backends.close()
"""
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, timeout=30, check=True)
    assert "full" in done.stdout or "failed; check the disk" in done.stdout, done
    assert CANARY not in done.stdout
    assert backends.config.read(PATH).value == "there"
    assert backends.config.update(PATH, "more", origin=ORIGIN).version == 2


def test_a_database_at_its_largest_says_that_the_disk_is_full(file: Path, opened: Open) -> None:
    from sqlalchemy import Engine, event

    backends = opened()

    def limit(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA max_page_count=60")

    event.listen(Engine, "connect", limit)
    try:
        backends.config.create(PATH, "there", is_encrypted=False, origin=ORIGIN)
        second = opened()
        with pytest.raises(UnavailableError, match="disk is full; free space"):
            second.config.update(PATH, CANARY * 40_000, origin=ORIGIN)
    finally:
        event.remove(Engine, "connect", limit)
    assert backends.config.read(PATH).value == "there"


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_read_only_file_is_unavailable_for_writing_and_says_what_to_do(shared_folder: Path) -> None:
    file = shared_folder / "configkit.db"
    backends = open_sqlite(str(file), master_key="a passphrase of some length")
    try:
        backends.config.create(PATH, "there", is_encrypted=False, origin=ORIGIN)
        for each in shared_folder.iterdir():
            each.chmod(0o444)
        program = """
import os, sys
from configkit.backends.sql import open_sqlite
from configkit.models import ConfigPath, Origin
from configkit.errors import UnavailableError
import configkit.backends.sql.opening
if os.getuid() == 0:
    os.setgroups([])
    os.setuid(int(sys.argv[2]))
try:
    backends = open_sqlite(sys.argv[1], master_key="a passphrase of some length")
    backends.config.update(ConfigPath("development", "svc", "key"), "canary-5f1c", origin=Origin())
except UnavailableError as error:
    print(error)
"""
        command = [sys.executable, "-c", program, str(file), str(NOBODY)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, cwd=ROOT)
    finally:
        backends.close()
    assert "writable for this user" in done.stdout, done
    assert CANARY not in done.stdout


def test_a_folder_that_cannot_be_written_is_unavailable(shared_folder: Path) -> None:
    shared_folder.chmod(0o555)
    program = """
import os, sys
from configkit.backends.sql import open_sqlite
from configkit.errors import UnavailableError
import configkit.backends.sql.opening
if os.getuid() == 0:
    os.setgroups([])
    os.setuid(int(sys.argv[2]))
try:
    open_sqlite(sys.argv[1], master_key=None)
except UnavailableError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, str(shared_folder / "deeper" / "configkit.db"), str(NOBODY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, cwd=ROOT)
    shared_folder.chmod(0o755)
    assert "writable for this user" in done.stdout, done


def test_a_damaged_file_is_unavailable(opened: Open, file: Path) -> None:
    first = opened()
    for number in range(200):
        first.config.create(ConfigPath("development", "svc", f"key{number}"), "x" * 500, is_encrypted=False, origin=ORIGIN)
    first.close()
    with file.open("r+b") as stream:
        stream.seek(8192)
        stream.write(os.urandom(file.stat().st_size - 8192))
    with pytest.raises(UnavailableError, match="damaged; restore it from a backup"):
        opened().config.read_service("development", "svc")


def test_something_that_is_no_database_is_refused(opened: Open, file: Path) -> None:
    file.parent.mkdir()
    file.write_text("not a database, but long enough to be taken for one" * 40)
    with pytest.raises(UnavailableError, match="no SQLite database"):
        opened()


def test_another_programs_database_is_refused_and_left_alone(opened: Open, file: Path) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE theirs (x)")
    before = file.read_bytes()
    with pytest.raises(BackendError, match="another program's database"):
        opened()
    assert file.read_bytes() == before


def test_a_file_of_a_newer_release_is_refused(opened: Open, file: Path) -> None:
    opened().close()
    with closing(sqlite3.connect(file)) as newer, newer:
        newer.execute("UPDATE schema_version SET version_num = '9999'")
    with pytest.raises(BackendError, match="newer release of configkit"):
        opened()


def test_a_file_that_was_removed_is_unavailable_and_no_empty_one_takes_its_place(opened: Open, file: Path) -> None:
    backends = opened()
    for each in file.parent.iterdir():
        each.unlink()
    with pytest.raises(UnavailableError, match="is gone"):
        backends.config.create(PATH, CANARY, is_encrypted=False, origin=ORIGIN)
    with pytest.raises(UnavailableError, match="is gone"):
        backends.ping["database"]()
    assert list(file.parent.iterdir()) == []


def test_what_is_asked_after_closing_is_refused_and_closing_again_does_nothing(opened: Open) -> None:
    backends = opened()
    backends.bus.subscribe(lambda event: None)
    begun = time.monotonic()
    backends.close()
    backends.close()
    assert time.monotonic() - begun < 1.0
    with pytest.raises(ClosedError):
        backends.config.read(PATH)
    with pytest.raises(ClosedError):
        backends.bus.subscribe(lambda event: None)


def test_no_descriptor_is_left_open_after_closing(opened: Open, file: Path) -> None:
    backends = opened()
    backends.bus.subscribe(lambda event: None)
    backends.config.create(PATH, 1, is_encrypted=True, origin=ORIGIN)
    backends.close()
    links = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert [link for link in links if str(link).startswith(str(file))] == []


def test_text_that_is_no_text_is_refused_without_showing_it(opened: Open) -> None:
    from configkit.errors import InvalidDocumentError

    with pytest.raises(InvalidDocumentError, match="lone surrogate") as caught:
        opened().flags.read("development", "x\ud800")
    assert "ud800" not in str(caught.value)


def test_errors_show_neither_statement_nor_value(opened: Open, file: Path) -> None:
    import traceback

    backends = opened(deadline=0.1)
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("DROP TABLE journal")
    with pytest.raises(BackendError) as caught:
        backends.config.create(PATH, CANARY, is_encrypted=False, origin=ORIGIN)
    shown = "".join(traceback.format_exception(caught.value))
    assert CANARY not in shown
    assert "INSERT" not in shown
