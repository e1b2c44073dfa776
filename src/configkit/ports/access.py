"""Who may do what, and what must not be done twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from configkit.models import Origin

Scope = Literal[
    "config:read", "config:write", "secrets:read", "flags:read", "flags:write", "registry:read", "registry:write", "admin"
]
SCOPES: tuple[Scope, ...] = (
    "config:read", "config:write", "secrets:read", "flags:read", "flags:write", "registry:read", "registry:write", "admin",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Token:
    """
    What a bearer may do. The secret itself is never kept.

    Attributes:
        digest: SHA-256 of the secret, hexadecimal.
        environments: Limits every scope to these; None: all.
        services: Limits every scope to these services; None: all.
    """

    name: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope]
    environments: frozenset[str] | None = None
    services: frozenset[str] | None = None
    created_at: datetime | None = None


class TokenStore(Protocol):
    """Bearer tokens, by the digest of their secret."""

    def create(self, token: Token, *, origin: Origin) -> None:
        """Keep *token*. Raises `ConflictError` if its name is taken."""

    def revoke(self, name: str, *, origin: Origin) -> None:
        """Forget the token of that name. Raises `NotFoundError`."""

    def all(self) -> list[Token]:
        """Return every token, by name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request with an Idempotency-Key: enough to rebuild the answer, nothing of its body."""

    status: int
    subject: str
    version: int | None


class IdempotencyStore(Protocol):
    """Requests that must not be carried out twice, for 24 hours."""

    def begin(self, key: str, fingerprint: str) -> Outcome | None:
        """
        Claim *key* for the request with this *fingerprint*: None means "carry it out, then call `finish`".

        Returns the outcome if it was carried out before.

        Raises:
            InvalidDocumentError: The key was used for another request.
            ConflictError: The first request is still being carried out.
            OutcomeUnknownError: It was begun more than a minute ago, or before the machine's last start, and never
                finished: it may have been carried out, so that nobody gets to carry it out again.
        """

    def finish(self, key: str, outcome: Outcome | None) -> None:
        """Keep what became of it; None: it failed in a way that may be tried again."""
