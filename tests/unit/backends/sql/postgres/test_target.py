"""How the address of the database is written."""

from __future__ import annotations

import pytest

from configkit.backends.sql.postgres.opening import PostgresPieces
from configkit.backends.sql.postgres.target import parse
from configkit.errors import InvalidDocumentError
from tests.unit.backends.sql.postgres.conftest import Open

PLAIN = {"user": "ck", "password": "s3cret", "host": "db.local", "port": "5433", "dbname": "configs"}


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg", "PostgreSQL"])
def test_every_spelling_means_the_same(scheme: str) -> None:
    assert parse(f"{scheme}://ck:s3cret@db.local:5433/configs").parameters == PLAIN


@pytest.mark.parametrize(
    ("query", "more"),
    [
        ("?ssl=require", {"sslmode": "require"}),
        ("?ssl=true", {"sslmode": "require"}),
        ("?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem", {"sslmode": "verify-full", "sslrootcert": "/etc/ca.pem"}),
        ("?prepared_statement_cache_size=0&command_timeout=5&async_fallback=1", {}),
        ("?connect_timeout=600", {}),
        ("", {}),
    ],
)
def test_options_of_other_drivers_are_understood_or_left_out(query: str, more: dict[str, str]) -> None:
    assert parse(f"postgresql+asyncpg://ck:s3cret@db.local:5433/configs{query}").parameters == PLAIN | more


def test_special_characters_of_a_password_are_written_with_percent() -> None:
    assert parse("postgres://ck:p%40ss%3Aw%2Frd%3F@h/d").parameters["password"] == "p@ss:w/rd?"


def test_several_hosts_and_addresses_in_brackets_are_understood() -> None:
    found = parse("postgresql://ck@one:1,two:2/d?target_session_attrs=read-write").parameters
    assert (found["host"], found["port"], found["target_session_attrs"]) == ("one,two", "1,2", "read-write")
    assert parse("postgresql://ck@[::1]:5432/d").parameters["host"] == "::1"


@pytest.mark.parametrize(
    "url",
    [
        "", "canary", "mysql://u:canary@h/d", "sqlite:///canary.db", "postgres:/u:canary@h", "postgresql://u:canary@h:port/d",
        "postgresql://u:can%zzary@h/d", "postgresql://u:x@h/d?canary=1", "postgresql+canary://h/d",
    ],
)  # fmt: skip
def test_anything_else_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        parse(url)
    assert "canary" not in str(caught.value)
    assert "postgresql://user:password@host:5432/database" in str(caught.value)


def test_the_password_is_in_no_representation() -> None:
    assert "s3cret" not in repr(parse("postgresql://ck:s3cret@db.local:5433/configs"))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+asyncpg"])
def test_a_database_opens_by_every_spelling(opened: Open, pieces: PostgresPieces, shared_url: str, scheme: str) -> None:
    opened(shared_url.replace("postgresql://", f"{scheme}://")).ping()
