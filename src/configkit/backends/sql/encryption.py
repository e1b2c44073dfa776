"""
Secrets at rest: AES-256-GCM under one master key.

Each value has a random 96-bit nonce; path and version are its associated data, so that no ciphertext can stand in for
another. Beside it lies the id of its key, which tells a wrong key from a damaged value.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes, token_hex

from configkit.backends.sql.errors import BACKEND
from configkit.errors import InvalidDocumentError, MasterKeyError, UnavailableError
from configkit.models import ConfigPath

KEY_BYTES = 32
SHORTEST_PASSPHRASE = 16
_NONCE_BYTES = 12
# scrypt as RFC 7914 recommends it for interactive use, doubled: 32 MiB and about a tenth of a second.
_SCRYPT = {"n": 2**15, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024}


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A key, and the id that is stored beside what it encrypted."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """What names the key and says nothing about it."""
        return hmac.digest(self.secret, b"configkit master key id", hashlib.sha256)[:16].hex()


def derive(text: str, salt: bytes) -> MasterKey:
    """
    Return the key that *text* stands for: base64 of 32 bytes is the key itself, anything else a passphrase for scrypt.

    Raises:
        InvalidDocumentError: A passphrase of less than 16 characters.
    """
    secret = _from_base64(text)
    if secret is None:
        if len(text) < SHORTEST_PASSPHRASE:
            remedy = "the master key is base64 of 32 random bytes, or a passphrase of at least 16 characters"
            raise InvalidDocumentError(remedy, pointer="/master_key")
        secret = hashlib.scrypt(text.encode(), salt=salt, dklen=KEY_BYTES, **_SCRYPT)
    return MasterKey(secret)


def _from_base64(text: str) -> bytes | None:
    try:
        secret = base64.b64decode(text.strip().translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        return None
    return secret if len(secret) == KEY_BYTES else None


def key_file(path: Path) -> Path:
    """Return where the key of the database at *path* lies if none is given."""
    return path.with_name(f"{path.name}.key")


def read_key_file(file: Path) -> MasterKey | None:
    """
    Return the key in *file*; None: there is no such file.

    Raises:
        MasterKeyError: Others may read it, or it holds no key.
        UnavailableError: This user may not read it.
    """
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(1024)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"the key file {file} cannot be read ({error.strerror})"
        raise UnavailableError(message, backend=BACKEND, operation="open") from error
    if mode & 0o077:
        message = f"the key file {file} is open to others; run: chmod 600 {file} (and rotate the key if others read it)"
        raise MasterKeyError(message, backend=BACKEND, operation="open")
    secret = _from_base64(content.decode("ascii", "replace"))
    if secret is None:
        message = f"the key file {file} holds no key (base64 of 32 bytes); restore it"
        raise MasterKeyError(message, backend=BACKEND, operation="open")
    return MasterKey(secret)


def create_key_file(file: Path) -> MasterKey:
    """Return the key of *file*, which is made unless somebody else was faster."""
    draft = file.with_name(f"{file.name}.{token_hex(8)}")
    try:
        write_key_file(draft, MasterKey(token_bytes(KEY_BYTES)))
        try:
            # A link appears whole and at most once; opening the file itself could show it half written.
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        sync_folder(file.parent)
    except OSError as error:
        message = f"the key file {file} cannot be made ({error.strerror}); make its folder writable or set CONFIGKIT_MASTER_KEY"
        raise UnavailableError(message, backend=BACKEND, operation="open") from error
    key = read_key_file(file)
    if key is None:
        raise MasterKeyError(f"the key file {file} vanished", backend=BACKEND, operation="open")
    return key


def write_key_file(file: Path, key: MasterKey) -> None:
    """Write *key* into the new *file*, readable for its owner alone."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(base64.b64encode(key.secret) + b"\n")
        stream.flush()
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* last through a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Cipher:
    """
    Encrypts and decrypts values.

    Args:
        reload: Finds the key of an id: another process may have rotated it.
    """

    def __init__(self, key: MasterKey, reload: Callable[[str], MasterKey | None]) -> None:
        self._key = key
        self._reload = reload

    @property
    def key_id(self) -> str:
        """The id of the key in use."""
        return self._key.id

    def check(self, key_id: str) -> None:
        """Return if the key *key_id* is in use, or can be found. Raises `MasterKeyError`."""
        self._with_id(key_id)

    def encrypt(self, path: ConfigPath, version: int, text: str, key_id: str) -> bytes:
        """Return *text* encrypted for *version* of *path* under the key *key_id*. Raises `MasterKeyError`."""
        return encrypt(self._with_id(key_id), path, version, text)

    def decrypt(self, path: ConfigPath, version: int, ciphertext: bytes, key_id: str) -> str:
        """Return the text of *version* of *path*. Raises `MasterKeyError`."""
        return decrypt(self._with_id(key_id), path, version, ciphertext)

    def _with_id(self, key_id: str) -> MasterKey:
        key = self._key
        if key.id != key_id:
            key = self._reload(key_id) or key
            if key.id != key_id:
                message = "secrets were encrypted with another master key; give that one (CONFIGKIT_MASTER_KEY or the key file)"
                raise MasterKeyError(message, backend=BACKEND, operation="decrypt")
            self._key = key
        return key


def encrypt(key: MasterKey, path: ConfigPath, version: int, text: str) -> bytes:
    """Return nonce and AES-256-GCM ciphertext of *text* for *version* of *path*."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  (30 ms that plain values need not pay)

    nonce = token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key.secret).encrypt(nonce, text.encode(), _bound_to(path, version))


def decrypt(key: MasterKey, path: ConfigPath, version: int, ciphertext: bytes) -> str:
    """Return what `encrypt` was given. Raises `MasterKeyError` if anything of it was changed."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    nonce, sealed = ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:]
    try:
        return AESGCM(key.secret).decrypt(nonce, sealed, _bound_to(path, version)).decode()
    except (InvalidTag, ValueError):
        message = f"version {version} of {path} cannot be decrypted: it is damaged, or lies in the place of another; restore it"
        raise MasterKeyError(message, backend=BACKEND, operation="decrypt") from None


def _bound_to(path: ConfigPath, version: int) -> bytes:
    return f"{path}@{version}".encode()
