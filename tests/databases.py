"""Schemas of their own in the PostgreSQL database that the tests share, so that none knows of another."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


@contextmanager
def fresh_schema(url: str) -> Iterator[str]:
    """Give the name of a schema that is not there yet, and remove it in the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    try:
        yield name
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"SET client_min_messages = warning; SET lock_timeout = '20s'; DROP SCHEMA IF EXISTS {name} CASCADE")
