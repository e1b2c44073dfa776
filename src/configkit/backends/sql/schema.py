"""
The tables, as SQLAlchemy Core knows them; the migrations make them.

Times are whole microseconds since 1970 in UTC: exact, ordered, and the same in every SQL dialect.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)

Row = Any
"""A row of a result, by attributes; SQLAlchemy 2.0 and 2.1 disagree on how to type one."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_instant(moment: datetime) -> int:
    """Return *moment* as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def from_instant(instant: int) -> datetime:
    """Return the aware UTC time of *instant*."""
    return _EPOCH + timedelta(microseconds=instant)


class Instant(TypeDecorator[datetime]):
    """An aware time."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Return what is stored."""
        return None if value is None else to_instant(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return what was stored."""
        return None if value is None else from_instant(value)


_Id = BigInteger().with_variant(Integer, "sqlite")
_Json = JSON(none_as_null=True)
_Name = String().with_variant(String(collation="C"), "postgresql")
"""Ordered by code point, whatever the database's own collation is."""

metadata = MetaData()

meta = Table("meta", metadata, Column("name", _Name, primary_key=True), Column("value", String, nullable=False))
"""Facts about the file: log_id, salt, key_id."""

config_key = Table(
    "config_key",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("environment", _Name, nullable=False),
    Column("service_name", _Name, nullable=False),
    Column("key", _Name, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("ever_secret", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("environment", "service_name", "key", name="config_key_path"),
)
"""The head of each key: its latest version, and whether that is a tombstone."""

config_version = Table(
    "config_version",
    metadata,
    Column("config_key_id", _Id, ForeignKey("config_key.id", ondelete="CASCADE"), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("value", Text),
    Column("ciphertext", LargeBinary),
    Column("master_key_id", String),
    Column("is_encrypted", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("written_at", Instant, nullable=False),
    Column("changed_by", String),
    Column("comment", Text),
)
"""Each version: *value*, or *ciphertext* where the key was ever secret."""

flag_counter = Table(
    "flag_counter",
    metadata,
    Column("environment", _Name, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False, server_default=text("0")),
)
"""The version of each environment's set; what has changed is known for those who know version *since* or a later one."""

flag = Table(
    "flag",
    metadata,
    Column("environment", _Name, primary_key=True),
    Column("name", _Name, primary_key=True),
    Column("description", Text, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("rollout_percentage", Double, nullable=False),
    Column("target_users", _Json, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("definition", _Json),
    Index("flag_version", "environment", "version"),
)
"""Each flag; *definition* has its fields beyond the plain form, as far as they are not as they are by default."""

flag_tombstone = Table(
    "flag_tombstone",
    metadata,
    Column("environment", _Name, primary_key=True),
    Column("name", _Name, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Index("flag_tombstone_version", "environment", "version"),
)
"""Flags that are gone, with the version of the set that they went with."""

instance = Table(
    "instance",
    metadata,
    Column("service_name", _Name, primary_key=True),
    Column("instance_id", _Name, primary_key=True),
    Column("service_url", String, nullable=False),
    Column("health_check_url", String),
    Column("status", String, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("zone", String),
    Column("metadata", _Json, nullable=False),
    Column("registered_at", Instant, nullable=False),
    Column("last_health_check", Instant),
    Column("expires_at", Instant),
    Column("ttl", Double),
    Column("expires_mono", Double),
    Column("checked_mono", Double),
    Column("unhealthy_mono", Double),
    Column("boot_id", String, nullable=False),
)
"""
Each registration. The ``_mono`` columns are monotonic times of the machine's run *boot_id*: when the lease ends (with
its length *ttl*; null without a lease), when the last check began, since when it is unhealthy.
"""

journal = Table(
    "journal",
    metadata,
    Column("seq", _Id, primary_key=True),
    Column("kind", String, nullable=False),
    Column("action", String, nullable=False),
    Column("environment", _Name),
    Column("service_name", _Name),
    Column("name", _Name),
    Column("version", BigInteger),
    Column("deleted", Boolean, nullable=False),
    Column("changed_by", String, nullable=False),
    Column("source", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("published", Boolean, nullable=False, server_default=false()),
    Column("claimed_at", Instant),
    Column("intent_id", String),
    Index("journal_unpublished", "seq", sqlite_where=text("NOT published"), postgresql_where=text("NOT published")),
    Index("journal_intent_id", "intent_id", unique=True),
    sqlite_autoincrement=True,
)
"""
Audit trail and change log in one: *seq* grows in the order of the commits and without holes (`journal.record`).

A row is announced elsewhere by whoever claimed it last (*claimed_at*) and then *published*; *intent_id* names what it
was in `intent` before it was committed.
"""

intent = Table(
    "intent",
    metadata,
    Column("id", String, primary_key=True),
    Column("action", String, nullable=False),
    Column("environment", _Name, nullable=False),
    Column("service_name", _Name, nullable=False),
    Column("name", _Name, nullable=False),
    Column("changed_by", String, nullable=False),
    Column("source", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("claimed_at", Instant),
    Index("intent_at", "at"),
)
"""Changes of configuration in another store that were begun and not resolved; they leave with their resolution."""

token = Table(
    "token",
    metadata,
    Column("name", _Name, primary_key=True),
    Column("digest", String, nullable=False),
    Column("scopes", _Json, nullable=False),
    Column("environments", _Json),
    Column("services", _Json),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("digest", name="token_digest"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", _Name, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("claimed_at", Instant, nullable=False),
    Column("claimed_mono", Double, nullable=False),
    Column("boot_id", String, nullable=False),
    Column("status", Integer),
    Column("subject", String),
    Column("version", BigInteger),
    Index("idempotency_claimed_at", "claimed_at"),
)
"""Requests by key; *status* is null until they are finished."""
