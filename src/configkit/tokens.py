"""The secrets of bearer tokens: how they are made, and the digest that alone is kept."""

from __future__ import annotations

import hashlib
import secrets


def new_secret() -> str:
    """Return a new secret of 256 random bits; it is shown once and never kept."""
    return "ck_" + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """
    Return what is kept of *secret*: its SHA-256, hexadecimal.

    The secret is 256 random bits, so that a slow hash would protect nothing more.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
