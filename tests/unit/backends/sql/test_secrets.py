"""Secrets at rest."""

from __future__ import annotations

import base64
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from configkit.backends.sql import rotate_master_key
from configkit.backends.sql.encryption import MasterKey, decrypt, derive, encrypt
from configkit.errors import InvalidDocumentError, MasterKeyError
from configkit.models import ConfigPath, Origin
from configkit.ports import Outcome
from tests.unit.backends.sql.conftest import Open

ORIGIN = Origin("ann", "test")
CANARY = "secret_key_123"
PATH = ConfigPath("production", "asr-service", "api_key")
PASSPHRASE = "correct horse battery staple"


def everywhere(file: Path) -> bytes:
    """Return all that lies on the disk, key file included."""
    return b"".join(each.read_bytes() for each in sorted(file.parent.iterdir()))


def test_a_secret_lies_nowhere_in_the_clear(opened: Open, file: Path) -> None:
    backends = opened()
    config = backends.config
    assert backends.journal is not None
    assert backends.idempotency is not None
    config.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)
    config.update(PATH, {"nested": [CANARY]}, origin=ORIGIN)
    config.update(PATH, CANARY, origin=ORIGIN, is_encrypted=False)
    config.rollback(PATH, 1, origin=ORIGIN)
    config.delete(PATH, origin=ORIGIN)
    config.create(PATH, CANARY * 2000, is_encrypted=True, origin=ORIGIN)
    backends.journal.record_read([PATH], origin=ORIGIN)
    assert backends.idempotency.begin("request", "fingerprint") is None
    backends.idempotency.finish("request", Outcome(201, str(PATH), 1))
    assert config.read(PATH).value == CANARY * 2000
    assert (file.parent / "configkit.db-wal").stat().st_size > 0
    assert CANARY.encode() not in everywhere(file)
    backends.close()
    assert CANARY.encode() not in everywhere(file)
    assert "api_key" in str(opened().journal.entries(limit=10))  # type: ignore[union-attr]


def test_a_secret_shows_in_no_repr(opened: Open) -> None:
    backends = opened(master_key=PASSPHRASE)
    document = backends.config.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)
    shown = repr((document, backends, derive(PASSPHRASE, b"salt"), backends.config.history(PATH, limit=5)))
    assert CANARY not in shown
    assert PASSPHRASE not in shown


def test_a_value_that_becomes_secret_is_gone_from_file_and_log_with_all_its_versions(opened: Open, file: Path) -> None:
    backends = opened()
    config = backends.config
    others = [ConfigPath("production", "asr-service", f"key{number}") for number in range(300)]
    config.create(PATH, CANARY, is_encrypted=False, origin=ORIGIN)
    for number, other in enumerate(others):
        config.create(other, "x" * (number * 7 % 900), is_encrypted=False, origin=ORIGIN)
        if number % 30 == 0:
            config.update(PATH, CANARY * (1 + number), origin=ORIGIN)
    assert CANARY.encode() in everywhere(file)
    secret = config.update(PATH, "another", origin=ORIGIN, is_encrypted=True)
    assert CANARY.encode() not in everywhere(file)
    assert secret.ever_secret
    assert config.read(PATH, 1).value == CANARY
    assert not config.read(PATH, 1).is_encrypted
    assert all(version.ever_secret for version in config.history(PATH, limit=100))


def test_a_reader_can_keep_the_old_log_no_longer_than_until_the_next_write(opened: Open, file: Path) -> None:
    config = opened(deadline=0.3).config
    config.create(PATH, CANARY, is_encrypted=False, origin=ORIGIN)
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM config_version").fetchall()
        config.update(PATH, "another", origin=ORIGIN, is_encrypted=True)
        assert CANARY.encode() in everywhere(file)
        reader.execute("COMMIT")
        config.create(ConfigPath("production", "asr-service", "other"), "other", is_encrypted=False, origin=ORIGIN)
        assert CANARY.encode() not in everywhere(file)


def test_a_key_that_was_ever_secret_stays_encrypted_and_marked(opened: Open, file: Path) -> None:
    config = opened().config
    config.create(PATH, "first", is_encrypted=True, origin=ORIGIN)
    plain = config.update(PATH, CANARY, origin=ORIGIN, is_encrypted=False)
    assert (plain.is_encrypted, plain.ever_secret) == (False, True)
    config.delete(PATH, origin=ORIGIN)
    again = config.create(PATH, CANARY, is_encrypted=False, origin=ORIGIN)
    assert (again.is_encrypted, again.ever_secret) == (False, True)
    assert CANARY.encode() not in everywhere(file)


def test_the_wrong_master_key_is_an_error_at_opening(opened: Open) -> None:
    opened(master_key=PASSPHRASE).config.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)
    with pytest.raises(MasterKeyError, match="CONFIGKIT_MASTER_KEY is not the master key"):
        opened(master_key="another passphrase, also long")
    with pytest.raises(MasterKeyError, match="key file"):
        opened(master_key=None)
    assert opened(master_key=PASSPHRASE).config.read(PATH).value == CANARY


def test_a_key_of_32_bytes_in_base64_is_used_as_it_is(opened: Open) -> None:
    raw = os.urandom(32)
    assert derive(base64.b64encode(raw).decode(), b"salt").secret == raw
    assert derive(base64.urlsafe_b64encode(raw).decode() + "\n", b"salt").secret == raw
    opened(master_key=base64.b64encode(raw).decode()).config.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)
    assert opened(master_key=base64.urlsafe_b64encode(raw).decode()).config.read(PATH).value == CANARY


def test_a_passphrase_depends_on_the_files_salt() -> None:
    assert derive(PASSPHRASE, b"one").secret != derive(PASSPHRASE, b"two").secret


def test_a_short_passphrase_is_refused(opened: Open) -> None:
    with pytest.raises(InvalidDocumentError, match="at least 16 characters") as caught:
        opened(master_key="too short")
    assert "too short" not in str(caught.value)


def test_a_secret_string_is_accepted_as_master_key(opened: Open) -> None:
    from pydantic import SecretStr

    opened(master_key=SecretStr(PASSPHRASE)).config.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)
    assert opened(master_key=PASSPHRASE).config.read(PATH).value == CANARY


def test_the_files_are_for_their_owner_alone(opened: Open, file: Path) -> None:
    opened().config.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert {each.name: each.stat().st_mode & 0o777 for each in file.parent.iterdir()} == dict.fromkeys(
        ("configkit.db", "configkit.db-wal", "configkit.db-shm", "configkit.db.key", "configkit.db.lock"), 0o600
    )


def test_a_key_file_that_others_can_read_is_refused_with_the_remedy(opened: Open, file: Path) -> None:
    opened().close()
    key = file.with_name("configkit.db.key")
    key.chmod(0o640)
    with pytest.raises(MasterKeyError, match="chmod 600"):
        opened()
    key.chmod(0o600)
    opened()


@pytest.mark.parametrize("content", [b"", b"no key", base64.b64encode(bytes(31)), b"\xff\xfe"])
def test_a_key_file_without_a_key_is_refused_and_left_alone(opened: Open, file: Path, content: bytes) -> None:
    opened().close()
    file.with_name("configkit.db.key").write_bytes(content)
    with pytest.raises(MasterKeyError, match="holds no key"):
        opened()
    assert file.with_name("configkit.db.key").read_bytes() == content


def test_a_lost_key_file_is_an_error_and_no_new_one_takes_its_place(opened: Open, file: Path) -> None:
    opened().close()
    file.with_name("configkit.db.key").unlink()
    with pytest.raises(MasterKeyError, match=r"is gone; restore it"):
        opened()
    assert not file.with_name("configkit.db.key").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE config_version SET ciphertext = (SELECT ciphertext FROM config_version WHERE config_key_id = 2)",
        "UPDATE config_version SET ciphertext = CAST(substr(ciphertext, 1, 20) || x'00' || substr(ciphertext, 22) AS BLOB)",
        "UPDATE config_version SET ciphertext = x''",
    ],
)
def test_a_ciphertext_that_was_changed_or_moved_is_an_error(opened: Open, file: Path, statement: str) -> None:
    config = opened().config
    config.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)
    config.create(ConfigPath("production", "asr-service", "other"), "other", is_encrypted=True, origin=ORIGIN)
    with closing(sqlite3.connect(file)) as attacker, attacker:
        attacker.execute(f"{statement} WHERE config_key_id = 1")
    with pytest.raises(MasterKeyError, match=r"production/asr-service/api_key cannot be decrypted"):
        config.read(PATH)


def test_a_ciphertext_belongs_to_its_path_and_version() -> None:
    key = MasterKey(bytes(32))
    sealed = encrypt(key, PATH, 3, CANARY)
    assert decrypt(key, PATH, 3, sealed) == CANARY
    assert encrypt(key, PATH, 3, CANARY) != sealed
    for path, version in ((PATH, 4), (ConfigPath("staging", "asr-service", "api_key"), 3)):
        with pytest.raises(MasterKeyError):
            decrypt(key, path, version, sealed)


def filled(opened: Open, master_key: str | None) -> None:
    config = opened(master_key=master_key).config
    config.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)
    config.update(PATH, CANARY + "2", origin=ORIGIN)
    config.create(ConfigPath("production", "asr-service", "plain"), "plain", is_encrypted=False, origin=ORIGIN)


@pytest.mark.parametrize("old", [None, PASSPHRASE])
@pytest.mark.parametrize("new", [None, "a new passphrase, long enough"])
def test_rotating_encrypts_everything_anew(opened: Open, file: Path, old: str | None, new: str | None) -> None:
    filled(opened, old)
    with closing(sqlite3.connect(file)) as connection:
        before = {row[0] for row in connection.execute("SELECT ciphertext FROM config_version WHERE ciphertext NOT NULL")}
    assert rotate_master_key(str(file), old, new) == 2
    on_disk = everywhere(file)
    assert not [ciphertext for ciphertext in before if ciphertext in on_disk]
    config = opened(master_key=new).config
    assert [version.value for version in config.history(PATH, limit=5)] == [CANARY + "2", CANARY]
    assert config.read(ConfigPath("production", "asr-service", "plain")).value == "plain"
    assert file.with_name("configkit.db.key").exists() == (new is None)
    assert not file.with_name("configkit.db.key.new").exists()
    if old is not None or new is not None:
        with pytest.raises(MasterKeyError):
            opened(master_key=old)


def test_rotating_with_the_wrong_key_changes_nothing(opened: Open, file: Path) -> None:
    filled(opened, PASSPHRASE)
    with pytest.raises(MasterKeyError):
        rotate_master_key(str(file), "not the right passphrase", None)
    assert opened(master_key=PASSPHRASE).config.read(PATH).value == CANARY + "2"


def test_an_open_client_with_a_key_file_goes_on_after_a_rotation(opened: Open, file: Path) -> None:
    client = opened()
    client.config.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)
    rotate_master_key(str(file), None, None)
    assert client.config.read(PATH).value == CANARY
    rotate_master_key(str(file), None, None)
    assert client.config.update(PATH, "next", origin=ORIGIN).version == 2
    assert opened().config.read(PATH).value == "next"


def test_an_open_client_with_a_given_key_neither_reads_nor_writes_secrets_after_a_rotation(opened: Open, file: Path) -> None:
    client = opened(master_key=PASSPHRASE)
    client.config.create(PATH, CANARY, is_encrypted=True, origin=ORIGIN)
    rotate_master_key(str(file), PASSPHRASE, "a new passphrase, long enough")
    with pytest.raises(MasterKeyError):
        client.config.read(PATH)
    with pytest.raises(MasterKeyError):
        client.config.update(PATH, "next", origin=ORIGIN)
    plain = ConfigPath("production", "asr-service", "plain")
    assert client.config.create(plain, 1, is_encrypted=False, origin=ORIGIN).version == 1
    assert opened(master_key="a new passphrase, long enough").config.read(PATH).version == 1


def test_a_rotation_that_was_cut_off_before_the_new_key_file_took_its_place_is_finished(opened: Open, file: Path) -> None:
    filled(opened, None)
    key = file.with_name("configkit.db.key")
    old = key.read_bytes()
    rotate_master_key(str(file), None, None)
    key.rename(file.with_name("configkit.db.key.new"))
    key.write_bytes(old)
    key.chmod(0o600)
    assert opened().config.read(PATH).value == CANARY + "2"
    assert not file.with_name("configkit.db.key.new").exists()


def test_a_rotation_that_was_cut_off_before_its_commit_has_not_happened(opened: Open, file: Path) -> None:
    filled(opened, None)
    draft = file.with_name("configkit.db.key.new")
    draft.write_bytes(base64.b64encode(os.urandom(32)))
    draft.chmod(0o600)
    assert opened().config.read(PATH).value == CANARY + "2"
    assert rotate_master_key(str(file), None, None) == 2
