"""What lies in Redis, and what is made of what others put there."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from configkit.backends.redis import Address, Tls, open_redis
from configkit.backends.redis.shared import SharedRedis
from configkit.errors import ClosedError, InvalidDocumentError
from configkit.models import ConfigPath, ConfigVersion
from tests.unit.backends.redis.conftest import Open, address

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
PATH = ConfigPath("development", "asr-service", "model_path")
PLAIN = ConfigVersion(PATH, 7, {"a": [1, 2.5, None, "ä\u2028", 2**200]}, False, False, AT, AT, "ann", "why")


def key(shared: SharedRedis, raw: redis.Redis) -> str:
    """Return the one key of *shared*, from the server itself."""
    namespace = shared.documents._entries._prefix
    (found,) = raw.scan_iter(match=f"{namespace}*", count=10_000)
    assert isinstance(found, bytes)
    return found.decode()


def test_a_document_comes_back_with_every_field(shared: SharedRedis) -> None:
    for document in (PLAIN, replace(PLAIN, version=8, value=None, deleted=True, changed_by=None, comment=None)):
        shared.documents.put(document)
        assert shared.documents.get(PATH) == document


def test_keys_are_namespaced_and_placed_by_the_path_alone(shared: SharedRedis, raw: redis.Redis) -> None:
    shared.documents.put(PLAIN)
    assert key(shared, raw).endswith(":config:{development/asr-service/model_path}")


def test_every_entry_goes_by_itself_before_long(shared: SharedRedis, raw: redis.Redis) -> None:
    lives = []
    for version in range(20):
        shared.documents.put(replace(PLAIN, version=version + 1))
        lives.append(raw.pttl(key(shared, raw)))
    assert all(90_000 < life <= 120_000 for life in lives)
    assert len(set(lives)) > 10, "entries that are made together do not go together"


@pytest.mark.parametrize("change", [{"is_encrypted": True}, {"ever_secret": True}, {"masked": True}])
def test_what_is_secret_is_refused_before_anything_is_sent(change: dict[str, object], opened: Open) -> None:
    nowhere = opened(Address("127.0.0.1", 1))
    secret = replace(PLAIN, value="canary-4711", **change)  # type: ignore[arg-type]
    for attempt in ({}, {"replace": True}):
        with pytest.raises(InvalidDocumentError) as raised:
            nowhere.documents.put(secret, **attempt)
        assert "canary" not in str(raised.value)


GARBAGE = [
    b"",
    b"hello",
    b"\xff\xfe\x00",
    b'{"value": 1}',
    b"ck1 14",
    b"ck1 14 ",
    b"ck1 14 null",
    b"ck1 14 [1]",
    b"ck1 14 {}",
    b"ck1 -1 {}",
    b"ck1 99999999999999999999 {}",
    b"ck1 14 " + b"[" * 100_000,
    b"ck2 14 " + json.dumps({"path": str(PATH)}).encode(),
    b"ck1 14 " + json.dumps({"path": "development/other/key", "value": 1, "created_at": AT.isoformat(), "updated_at": AT.isoformat(), "changed_by": None, "comment": None}).encode(),
    b"ck1 14 " + json.dumps({"path": str(PATH), "value": 1, "created_at": 5, "updated_at": AT.isoformat(), "changed_by": None, "comment": None}).encode(),
    b"ck1 14 " + json.dumps({"path": str(PATH), "value": 1, "created_at": "yesterday", "updated_at": "", "changed_by": 1, "comment": {}}).encode(),
    b"ck1 14 " + json.dumps({"path": str(PATH), "value": 1, "created_at": AT.isoformat(), "updated_at": AT.isoformat(), "changed_by": 1, "comment": None}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_is_no_document_of_that_path_is_a_miss(garbage: bytes, shared: SharedRedis, raw: redis.Redis) -> None:
    shared.documents.put(PLAIN)
    raw.set(key(shared, raw), garbage)
    assert shared.documents.get(PATH) is None


@pytest.mark.parametrize("garbage", [b"", b"hello", b"ck1 x {}", b'{"value": 1}', b"\xff\xfe\x00"])
def test_what_is_no_entry_is_not_in_the_way_of_one(garbage: bytes, shared: SharedRedis, raw: redis.Redis) -> None:
    shared.documents.put(PLAIN)
    raw.set(key(shared, raw), garbage)
    assert shared.documents.put(PLAIN) is True
    assert shared.documents.get(PATH) == PLAIN


def test_a_key_of_another_type_is_a_miss_and_not_in_the_way(shared: SharedRedis, raw: redis.Redis) -> None:
    shared.documents.put(PLAIN)
    name = key(shared, raw)
    raw.delete(name)
    raw.hset(name, "field", "value")
    assert shared.documents.get(PATH) is None
    assert shared.documents.put(PLAIN) is True
    assert shared.documents.get(PATH) == PLAIN


def test_what_others_keep_in_the_same_redis_is_neither_listed_nor_cleared(
    shared: SharedRedis, opened: Open, env: dict[str, str], raw: redis.Redis
) -> None:
    other = opened(address(env))
    other.documents.put(PLAIN)
    shared.documents.put(PLAIN)
    shared.blobs.keep("flags/development", 1, b"set", seconds=60)
    prefix = shared.documents._entries._prefix
    for foreign in ("{no path}", "{a/b/c/d}", "{development/UPPER/key}"):
        raw.set(f"{prefix}{foreign}", "1", px=5000)
    assert shared.documents.paths() == [PATH]
    shared.documents.clear()
    assert shared.documents.paths() == []
    assert other.documents.get(PATH) == PLAIN
    assert shared.blobs.load("flags/development") == (1, b"set")


def test_more_paths_than_one_scan_shows_are_all_listed(shared: SharedRedis) -> None:
    paths = {ConfigPath("development", "asr", f"k{number}") for number in range(2500)}
    for path in paths:
        shared.documents.put(replace(PLAIN, path=path, value=1))
    assert set(shared.documents.paths()) == paths
    shared.documents.clear()


@pytest.mark.parametrize("namespace", ["", "{", "a b", "a*", "a\n", "-", "x" * 101])
def test_a_namespace_that_could_meet_other_keys_is_refused(namespace: str) -> None:
    with pytest.raises(InvalidDocumentError):
        open_redis(Address("127.0.0.1"), namespace=namespace)


def test_a_file_for_tls_that_is_not_there_is_named(tmp_path: object) -> None:
    with pytest.raises(InvalidDocumentError, match=r"missing\.pem"):
        Tls(ca_file=f"{tmp_path}/missing.pem")


def test_a_file_for_tls_that_is_no_certificate_is_refused_when_redis_is_opened(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("canary-4711")
    with pytest.raises(InvalidDocumentError):
        open_redis(Address("127.0.0.1", tls=Tls(ca_file=str(tmp_path / "ca.pem"))))


def test_the_password_is_not_shown() -> None:
    assert "canary" not in repr(Address("127.0.0.1", password="canary-4711"))


def test_closing_twice_is_harmless_and_later_calls_are_refused(shared: SharedRedis) -> None:
    shared.ping()
    shared.close()
    shared.close()
    with pytest.raises(ClosedError):
        shared.documents.get(PATH)


def test_a_forked_child_uses_a_connection_of_its_own(shared: SharedRedis, raw: redis.Redis) -> None:
    shared.documents.put(PLAIN)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            shared.after_fork()
            status = 0 if shared.documents.get(PATH) == PLAIN and shared.documents.put(replace(PLAIN, version=8)) else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    kept = shared.documents.get(PATH)
    assert kept is not None
    assert kept.version == 8
