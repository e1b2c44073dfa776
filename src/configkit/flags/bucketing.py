"""
Which users fall into a percentage: bit for bit the ``fractional`` operation of flagd.

Source: flagd, "Fractional Operation Specification", third hashing specification (``openfeature-flagd-core`` 2.0.0)::

    h      = murmur3_x86_32(deterministic CBOR of [salt, key], seed 0), unsigned
    bucket = (h * total) >> 32

The array keeps salt and key apart (``a|bc`` is not ``ab|c``). Deterministic CBOR is RFC 8949, section 4.2.1: the shortest
header before the UTF-8 of a text. The environment is not hashed: a user is in the same bucket everywhere.
"""

from __future__ import annotations

from mmh3 import mmh3_32_uintdigest

from configkit.flags.percentages import TOTAL

_ARRAY_OF_TWO = b"\x82"
_HASHES = 1 << 32


def text_header(length: int) -> bytes:
    """Return the CBOR header of a text of *length* bytes (RFC 8949, section 3: major type 3), below 65 536."""
    if length < 24:
        return bytes((0x60 + length,))
    if length < 256:
        return bytes((0x78, length))
    return b"\x79" + length.to_bytes(2, "big")


def salt_prefix(salt: str) -> bytes:
    """Return what precedes the key in the hashed bytes: the array's header and the encoded *salt*."""
    encoded = salt.encode()
    return _ARRAY_OF_TWO + text_header(len(encoded)) + encoded


def hash_key(prefix: bytes, key: str) -> int:
    """Return the unsigned 32-bit hash of *key* under the `salt_prefix` *prefix*."""
    encoded = key.encode()
    return mmh3_32_uintdigest(prefix + text_header(len(encoded)) + encoded, 0)


def bucket(salt: str, key: str, total: int = TOTAL) -> int:
    """Return the bucket of *key* under *salt*: 0 to *total* - 1, each as likely as any other."""
    return (hash_key(salt_prefix(salt), key) * total) >> 32


def buckets_of(percentage: float) -> int:
    """Return how many of the `TOTAL` buckets *percentage* covers: those below this number are in."""
    return round(percentage * 1000)


def hash_threshold(buckets: int, total: int = TOTAL) -> int:
    """
    Return the hash below which a key falls into the first *buckets* of *total*.

    ``(h * total) >> 32 < buckets`` is ``h < ceil(buckets * 2**32 / total)``, so that a comparison is all that is left to do.
    """
    return -(-buckets * _HASHES // total)
