"""Flags beyond their plain form, and which flags are gone since when."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Let a flag have a definition, and the set of an environment be asked what has changed."""
    postgres = op.get_bind().dialect.name == "postgresql"
    name = sa.String(collation="C") if postgres else sa.String()
    op.add_column("flag", sa.Column("definition", sa.JSON))
    op.create_index("flag_version", "flag", ["environment", "version"])
    op.create_table(
        "flag_tombstone",
        sa.Column("environment", name, primary_key=True),
        sa.Column("name", name, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("flag_tombstone_version", "flag_tombstone", ["environment", "version"])
    # What was deleted before is not known: only who was there at this version or later can be told what has changed.
    op.add_column("flag_counter", sa.Column("since", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(sa.text("UPDATE flag_counter SET since = version"))
