"""As of when what another system wrote about customers and subscriptions was so."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, String

revision = "0004"
down_revision = "0003"

_TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "as_of",
        Column("kind", _TEXT, nullable=False),
        Column("id", _TEXT, nullable=False),
        Column("side", _TEXT, nullable=False),
        Column("as_of", BigInteger(), nullable=False),
        Column("written_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("kind", "id", "side"),
    )
