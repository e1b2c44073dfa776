"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "meta",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    _config()
    _flags()
    _registry()
    _journal()
    _access()


def _config() -> None:
    op.create_table(
        "config_key",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("environment", _NAME, nullable=False),
        sa.Column("service_name", _NAME, nullable=False),
        sa.Column("key", _NAME, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("ever_secret", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("environment", "service_name", "key", name="config_key_path"),
    )
    op.create_table(
        "config_version",
        sa.Column("config_key_id", _ID, sa.ForeignKey("config_key.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("value", sa.Text),
        sa.Column("ciphertext", sa.LargeBinary),
        sa.Column("master_key_id", sa.String),
        sa.Column("is_encrypted", sa.Boolean, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
        sa.Column("changed_by", sa.String),
        sa.Column("comment", sa.Text),
    )


def _flags() -> None:
    op.create_table(
        "flag_counter",
        sa.Column("environment", _NAME, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "flag",
        sa.Column("environment", _NAME, primary_key=True),
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("is_enabled", sa.Boolean, nullable=False),
        sa.Column("rollout_percentage", sa.Double, nullable=False),
        sa.Column("target_users", sa.JSON, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )


def _registry() -> None:
    op.create_table(
        "instance",
        sa.Column("service_name", _NAME, primary_key=True),
        sa.Column("instance_id", _NAME, primary_key=True),
        sa.Column("service_url", sa.String, nullable=False),
        sa.Column("health_check_url", sa.String),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("weight", sa.Integer, nullable=False),
        sa.Column("zone", sa.String),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("registered_at", sa.BigInteger, nullable=False),
        sa.Column("last_health_check", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("ttl", sa.Double),
        sa.Column("expires_mono", sa.Double),
        sa.Column("checked_mono", sa.Double),
        sa.Column("unhealthy_mono", sa.Double),
        sa.Column("boot_id", sa.String, nullable=False),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", _ID, primary_key=True, autoincrement=op.get_bind().dialect.name == "sqlite"),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("environment", _NAME),
        sa.Column("service_name", _NAME),
        sa.Column("name", _NAME),
        sa.Column("version", sa.BigInteger),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("changed_by", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def _access() -> None:
    op.create_table(
        "token",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("environments", sa.JSON),
        sa.Column("services", sa.JSON),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("digest", name="token_digest"),
    )
    op.create_table(
        "idempotency",
        sa.Column("key", _NAME, primary_key=True),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("claimed_at", sa.BigInteger, nullable=False),
        sa.Column("claimed_mono", sa.Double, nullable=False),
        sa.Column("boot_id", sa.String, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("subject", sa.String),
        sa.Column("version", sa.BigInteger),
    )
    op.create_index("idempotency_claimed_at", "idempotency", ["claimed_at"])
