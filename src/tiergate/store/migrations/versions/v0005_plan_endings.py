"""What ends with a plan at a change that is scheduled, as it was before."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, String, Text

revision = "0005"
down_revision = "0004"

_TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "plan_ending",
        Column("subscription", _TEXT, nullable=False),
        Column("at", BigInteger(), nullable=False),
        Column("items", Text(), nullable=False),
        PrimaryKeyConstraint("subscription"),
    )
