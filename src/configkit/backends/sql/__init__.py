"""
Configuration, flags, registry and records in SQL: the embedded mode, on one SQLite file.

Any number of processes of one machine share the file. Secrets in it are encrypted (`encryption`), changes are told
through its journal (`bus`), and its tables are made and brought up to date when it is opened (`migrate`).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from configkit.errors import MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from configkit.backends.sql.clock import Clock
    from configkit.ports import Backends

__all__ = ["key_file_of", "open_sqlite", "rotate_master_key"]

_NEEDED = ("sqlalchemy", "alembic", "cryptography")


def open_sqlite(
    url_or_path: str, *, master_key: SecretStr | str | None, deadline: float = 5.0, clock: Clock | None = None
) -> Backends:
    """
    Return the deployment that lives in an SQLite file; the file is made, with its folders, if it is not there.

    Args:
        url_or_path: ``sqlite:////absolute/path.db``, or a path.
        master_key: What secrets are encrypted with: base64 of 32 random bytes, or a passphrase of at least 16
            characters. None: a key file beside the database (``<file>.key``, mode 0600), made at first start.
        deadline: Seconds within which every call is answered.
        clock: The time that leases run on.

    Raises:
        MasterKeyError: The file was made with another master key, or its key file is gone or open to others.
        UnavailableError: The file cannot be opened.
        BackendError: A newer release has changed the file's tables.
        InvalidDocumentError: *url_or_path* names no file, or *master_key* is too short.
        MissingExtraError: The extra ``embedded`` is not installed.
    """
    _require_extra()
    from configkit.backends.sql.opening import open_file  # noqa: PLC0415

    return open_file(url_or_path, master_key=_revealed(master_key), deadline=deadline, clock=clock)


def rotate_master_key(url_or_path: str, old: SecretStr | str | None, new: SecretStr | str | None) -> int:
    """
    Encrypt every secret in the file under a new key, in one transaction, and return how many there were.

    Args:
        old: The master key until now; None: the key file's.
        new: The master key from now on; None: a new key file replaces the old one.

    Raises:
        MasterKeyError: *old* is not the file's master key.
    """
    _require_extra()
    from configkit.backends.sql.opening import rotate_file  # noqa: PLC0415

    return rotate_file(url_or_path, _revealed(old), _revealed(new))


def key_file_of(url_or_path: str) -> Path:
    """Return where the key file of the database lies, or would lie. Raises `InvalidDocumentError` if it names no file."""
    _require_extra()
    from configkit.backends.sql.encryption import key_file  # noqa: PLC0415
    from configkit.backends.sql.sqlite import database_path  # noqa: PLC0415

    return key_file(database_path(url_or_path))


def _require_extra() -> None:
    for package in _NEEDED:
        if find_spec(package) is None:
            raise MissingExtraError("embedded", f"the embedded mode ({package})")


def _revealed(key: Any) -> str | None:
    if key is None or isinstance(key, str):
        return key
    return str(key.get_secret_value())
