"""Bearer tokens, in SQL."""

from __future__ import annotations

from sqlalchemy import delete, insert, or_, select

from configkit.backends.sql import schema
from configkit.backends.sql.database import Database
from configkit.backends.sql.journal import Change, record
from configkit.backends.sql.schema import Row
from configkit.errors import ConflictError, NotFoundError
from configkit.models import Origin
from configkit.ports import Token

_token = schema.token


class SqlTokenStore:
    """A `TokenStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, token: Token, *, origin: Origin) -> None:
        """Keep *token*. Raises `ConflictError` if its name is taken."""
        taken = select(_token.c.name).where(or_(_token.c.name == token.name, _token.c.digest == token.digest))
        with self._database.writing("create a token", "tokens") as connection:
            now = self._database.moment(connection).now
            if connection.execute(taken).first() is not None:
                raise ConflictError(f"a token named {token.name} exists; revoke it first", expected=0, actual=None)
            connection.execute(
                insert(_token).values(
                    name=token.name,
                    digest=token.digest,
                    scopes=sorted(token.scopes),
                    environments=_listed(token.environments),
                    services=_listed(token.services),
                    created_at=token.created_at or now,
                )
            )
            record(connection, now, origin, Change("token", "create", name=token.name))

    def revoke(self, name: str, *, origin: Origin) -> None:
        """Forget the token of that name. Raises `NotFoundError`."""
        with self._database.writing("revoke a token") as connection:
            if not connection.execute(delete(_token).where(_token.c.name == name)).rowcount:
                raise NotFoundError(f"there is no token named {name}")
            record(connection, self._database.moment(connection).now, origin, Change("token", "revoke", name=name, deleted=True))

    def all(self) -> list[Token]:
        """Return every token, by name."""
        with self._database.reading("list tokens") as connection:
            rows = connection.execute(select(_token).order_by(_token.c.name)).all()
        return [_made(row) for row in rows]


def _listed(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _made(row: Row) -> Token:
    return Token(
        name=row.name,
        digest=row.digest,
        scopes=frozenset(row.scopes),
        environments=None if row.environments is None else frozenset(row.environments),
        services=None if row.services is None else frozenset(row.services),
        created_at=row.created_at,
    )
