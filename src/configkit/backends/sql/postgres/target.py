"""Which database is meant, and how it is named without its password."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from configkit.errors import InvalidDocumentError

SCHEMES = ("postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg")

# What other drivers understand in their URLs and libpq does not, and what means nothing to this one.
_FOREIGN = {
    "async_fallback",
    "command_timeout",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "statement_cache_size",
    "timeout",
}
_BOUNDED = {"connect_timeout"}
_REMEDY = "a URL as postgresql://user:password@host:5432/database; write special characters of the password as %xx"


@dataclass(frozen=True, slots=True)
class Target:
    """
    A database on a PostgreSQL server.

    Attributes:
        parameters: What libpq connects with.
        label: How messages name it.
    """

    parameters: dict[str, str] = field(repr=False)
    label: str


def parse(url: str) -> Target:
    """
    Return what *url* means, in any of the spellings that frameworks use.

    Raises:
        InvalidDocumentError: It is no URL of a PostgreSQL database. What it says is not repeated: it holds a password.
    """
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise InvalidDocumentError(_REMEDY, pointer="/database_url")
    address, _, query = rest.partition("?")
    options = urlencode(_options(query), quote_via=quote)
    try:
        found = conninfo_to_dict(f"postgresql://{address}" + (f"?{options}" if options else ""))
    except ProgrammingError:
        raise InvalidDocumentError(_REMEDY, pointer="/database_url") from None
    parameters = {name: str(value) for name, value in found.items() if value is not None and name not in _BOUNDED}
    if not all(part.isdecimal() and 0 < int(part) < 65536 for part in parameters.get("port", "5432").split(",") if part):
        raise InvalidDocumentError(_REMEDY, pointer="/database_url")
    return Target(parameters, _label(parameters))


def _options(query: str) -> list[tuple[str, str]]:
    options = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "ssl":
            # asyncpg's name, with libpq's values and two of its own.
            options.append(("sslmode", {"true": "require", "false": "disable"}.get(value.lower(), value)))
        elif name not in _FOREIGN:
            options.append((name, value))
    return options


def _label(parameters: dict[str, str]) -> str:
    hosts = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
    ports = parameters.get("port", "")
    where = f"{hosts}:{ports}" if ports and "," not in hosts else hosts
    return f"{parameters.get('dbname') or 'the default database'} at {where}"
