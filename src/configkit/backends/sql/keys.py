"""Which master key a database has: found, checked, and changed."""

from __future__ import annotations

from pathlib import Path
from secrets import token_bytes

from sqlalchemy import Connection, bindparam, insert, select, update

from configkit.backends.sql.encryption import (
    KEY_BYTES,
    Cipher,
    MasterKey,
    create_key_file,
    decrypt,
    derive,
    encrypt,
    key_file,
    read_key_file,
    sync_folder,
    write_key_file,
)
from configkit.backends.sql.engine import SqliteDatabase
from configkit.backends.sql.errors import BACKEND
from configkit.backends.sql.schema import config_key, config_version, meta
from configkit.errors import MasterKeyError
from configkit.models import ConfigPath

_FACTS = select(meta.c.name, meta.c.value)


def open_cipher(database: SqliteDatabase, given: str | None) -> Cipher:
    """
    Return the cipher for *database*, under *given* or the key in the key file, which is made for a new database.

    Raises:
        MasterKeyError: The database has another key, or its key file is gone.
    """
    with database.reading("open") as connection:
        facts = _facts(connection)
    key = find_key(database.path, given, facts)
    if "key_id" not in facts:
        with database.writing("open") as connection:
            facts = _facts(connection)
            if "key_id" not in facts:
                connection.execute(insert(meta).values(name="key_id", value=key.id))
                facts["key_id"] = key.id
    _check(key, facts["key_id"], database.path, given)
    return Cipher(key, lambda key_id: _reread(database.path, key_id) if given is None else None)


def find_key(path: Path, given: str | None, facts: dict[str, str]) -> MasterKey:
    """Return the key that *given* stands for, or the one in the key file."""
    if given is not None:
        return derive(given, bytes.fromhex(facts["salt"]))
    file = key_file(path)
    _finish_rotation(file, facts.get("key_id"))
    key = read_key_file(file)
    if key is None and "key_id" in facts:
        message = f"{path} has a master key, but the key file {file} is gone; restore it, or set CONFIGKIT_MASTER_KEY"
        raise MasterKeyError(message, backend=BACKEND, operation="open")
    return key or create_key_file(file)


def _reread(path: Path, key_id: str) -> MasterKey | None:
    _finish_rotation(key_file(path), key_id)
    return read_key_file(key_file(path))


def _check(key: MasterKey, key_id: str, path: Path, given: str | None) -> None:
    if key.id != key_id:
        source = "CONFIGKIT_MASTER_KEY is" if given is not None else f"the key file {key_file(path)} holds"
        message = f"{source} not the master key that {path} was made with; give that one"
        raise MasterKeyError(message, backend=BACKEND, operation="open")


def current_key_id(connection: Connection) -> str:
    """Return the id of the key that the database has now; within a write transaction it cannot change."""
    return str(connection.execute(_FACTS.where(meta.c.name == "key_id")).one().value)


def check_cipher(database: SqliteDatabase, cipher: Cipher) -> None:
    """Return if *cipher* has the key that *database* has now. Raises `MasterKeyError`, or `UnavailableError`."""
    with database.reading("ping") as connection:
        key_id = current_key_id(connection)
    cipher.check(key_id)


def rotate(database: SqliteDatabase, old: str | None, new: str | None) -> int:
    """
    Encrypt every secret of *database* anew, in one transaction, and return how many there were.

    Other processes with a key file go on by themselves; those with a given key need the new one.

    Args:
        old: The key given until now; None: the one in the key file.
        new: The key to give from now on; None: a new key file is made.

    Raises:
        MasterKeyError: *old* is not the key of *database*.
    """
    file = key_file(database.path)
    with database.writing("rotate") as connection:
        facts = _facts(connection)
        old_key = find_key(database.path, old, facts)
        _check(old_key, facts.get("key_id", old_key.id), database.path, old)
        salt = token_bytes(16)
        new_key = MasterKey(token_bytes(KEY_BYTES)) if new is None else derive(new, salt)
        if new is None:
            _draft(file).unlink(missing_ok=True)
            write_key_file(_draft(file), new_key)
        count = _encrypt_anew(connection, old_key, new_key)
        connection.execute(update(meta).where(meta.c.name == "salt").values(value=salt.hex()))
        connection.execute(update(meta).where(meta.c.name == "key_id").values(value=new_key.id))
    if new is None:
        _finish_rotation(file, new_key.id)
    else:
        file.unlink(missing_ok=True)
    database.overwrite_log()
    return count


def _encrypt_anew(connection: Connection, old: MasterKey, new: MasterKey) -> int:
    of_key = [config_key.c.environment, config_key.c.service_name, config_key.c.key]
    columns = [config_version.c.config_key_id, config_version.c.version, config_version.c.ciphertext, *of_key]
    rows = connection.execute(select(*columns).join(config_key).where(config_version.c.ciphertext.is_not(None))).all()
    changed = []
    for row in rows:
        path = ConfigPath(row.environment, row.service_name, row.key)
        text = decrypt(old, path, row.version, row.ciphertext)
        ciphertext = encrypt(new, path, row.version, text)
        changed.append({"of": row.config_key_id, "number": row.version, "sealed": ciphertext})
    if changed:
        replace = update(config_version).values(ciphertext=bindparam("sealed"), master_key_id=new.id)
        here = (config_version.c.config_key_id == bindparam("of")) & (config_version.c.version == bindparam("number"))
        connection.execute(replace.where(here), changed)
    return len(changed)


def _finish_rotation(file: Path, key_id: str | None) -> None:
    """Put the new key in its place; a crash may have come between the commit and this."""
    draft = _draft(file)
    if key_id is not None and draft.exists():
        key = read_key_file(draft)
        if key is not None and key.id == key_id:
            draft.replace(file)
            sync_folder(file.parent)


def _draft(file: Path) -> Path:
    return file.with_name(f"{file.name}.new")


def _facts(connection: Connection) -> dict[str, str]:
    return {row.name: row.value for row in connection.execute(_FACTS)}
