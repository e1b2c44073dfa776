"""Bearer tokens, in memory."""

from __future__ import annotations

from dataclasses import replace

from configkit.backends.memory.journal import Change, MemoryJournal
from configkit.errors import ConflictError, NotFoundError
from configkit.models import AccessChanged, Origin
from configkit.ports import Token


class MemoryTokenStore:
    """A `TokenStore`."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._tokens: dict[str, Token] = {}

    def create(self, token: Token, *, origin: Origin) -> None:
        """Keep *token*. Raises `ConflictError` if its name is taken."""
        with self._journal.change() as change:
            if token.name in self._tokens:
                raise ConflictError(f"a token named {token.name} exists; revoke it first", expected=0, actual=None)
            self._tokens[token.name] = token if token.created_at else replace(token, created_at=change.at)
            _tell("create", token.name, origin, change)

    def revoke(self, name: str, *, origin: Origin) -> None:
        """Forget the token of that name. Raises `NotFoundError`."""
        with self._journal.change() as change:
            if self._tokens.pop(name, None) is None:
                raise NotFoundError(f"there is no token named {name}")
            _tell("revoke", name, origin, change)

    def all(self) -> list[Token]:
        """Return every token, by name."""
        with self._journal.lock:
            return [self._tokens[name] for name in sorted(self._tokens)]


def _tell(action: str, name: str, origin: Origin, change: Change) -> None:
    change.record("token", action, name, None, origin)
    change.events.append(AccessChanged(change.next_id(), change.at, origin.changed_by))
