"""The journal beside another store: what was begun, and what is still to be announced."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of intents and let the journal know what was announced."""
    postgres = op.get_bind().dialect.name == "postgresql"
    op.add_column("journal", sa.Column("published", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("journal", sa.Column("claimed_at", sa.BigInteger))
    op.add_column("journal", sa.Column("intent_id", sa.String))
    # What was there before is history: nobody waits for it to be announced.
    op.execute(sa.text("UPDATE journal SET published = true"))
    unpublished = sa.text("NOT published")
    op.create_index("journal_unpublished", "journal", ["seq"], sqlite_where=unpublished, postgresql_where=unpublished)
    op.create_index("journal_intent_id", "journal", ["intent_id"], unique=True)
    name = sa.String(collation="C") if postgres else sa.String()
    op.create_table(
        "intent",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("environment", name, nullable=False),
        sa.Column("service_name", name, nullable=False),
        sa.Column("name", name, nullable=False),
        sa.Column("changed_by", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("claimed_at", sa.BigInteger),
    )
    op.create_index("intent_at", "intent", ["at"])
    if postgres:
        _number_the_journal()


def _number_the_journal() -> None:
    """Make the row that numbers the journal's rows; a sequence would give its numbers out of the order of the commits."""
    head = op.create_table("journal_head", sa.Column("seq", sa.BigInteger, nullable=False))
    op.bulk_insert(head, [{"seq": 0}])
