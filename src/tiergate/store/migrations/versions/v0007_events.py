"""Events as a list, deliveries in order, thresholds of usage, and when the clock next changes something."""

from __future__ import annotations

import time

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, String, Text, text

revision = "0007"
down_revision = "0006"

_TEXT = String().with_variant(String(collation="C"), "postgresql")
_FOREVER = 2**62
_COMES = text("next_at IS NOT NULL")
_WAITS = text("status = 'waiting'")


def upgrade() -> None:
    """Make tables and columns. What is over by now makes no events."""
    op.create_table(
        "event",
        Column("position", BigInteger(), autoincrement=False, nullable=False),
        Column("id", _TEXT, nullable=False),
        Column("type", _TEXT, nullable=False),
        Column("customer", _TEXT, nullable=True),
        Column("features", Text(), nullable=False),
        Column("at", BigInteger(), nullable=False),
        Column("recorded_at", BigInteger(), nullable=False),
        Column("payload", LargeBinary(), nullable=False),
        PrimaryKeyConstraint("position"),
    )
    op.create_index("event_customer_position", "event", ["customer", "position"], unique=False)
    op.create_index("event_type_position", "event", ["type", "position"], unique=False)
    op.create_index("event_recorded_at", "event", ["recorded_at"], unique=False)
    op.create_table(
        "event_head",
        Column("key", BigInteger(), autoincrement=False, nullable=False),
        Column("position", BigInteger(), nullable=False),
        Column("checked_publication", BigInteger(), nullable=False),
        Column("catalog_told", BigInteger(), nullable=False),
        PrimaryKeyConstraint("key"),
    )
    now = time.time_ns() // 1_000_000
    op.execute(
        "INSERT INTO event_head (key, position, checked_publication, catalog_told) "  # noqa: S608
        f"SELECT 1, 0, publication, {now} FROM feed_head"
    )
    op.add_column("delivery", Column("event", _TEXT, nullable=False, server_default=""))
    op.add_column("delivery", Column("line", _TEXT, nullable=False, server_default=""))
    op.add_column("delivery", Column("position", BigInteger(), nullable=False, server_default="0"))
    op.create_index(
        "delivery_line",
        "delivery",
        ["webhook", "line", "position"],
        unique=False,
        sqlite_where=_WAITS,
        postgresql_where=_WAITS,
    )
    op.create_index("delivery_webhook_position", "delivery", ["webhook", "position"], unique=False)
    op.create_table(
        "usage_threshold",
        Column("customer", _TEXT, nullable=False),
        Column("feature", _TEXT, nullable=False),
        Column("levels", Text(), nullable=False),
        Column("etag", BigInteger(), nullable=False),
        Column("updated_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("customer", "feature"),
    )
    for table in ("usage_account", "usage_window"):
        op.add_column(table, Column("fired", Text(), nullable=True))
    for table in ("usage_account", "usage_grant", "subject_record"):
        op.add_column(table, Column("next_at", BigInteger(), nullable=True))
        op.create_index(
            f"{table}_next_at", table, ["next_at"], unique=False, sqlite_where=_COMES, postgresql_where=_COMES
        )
    op.execute(
        f"UPDATE usage_account SET next_at = until WHERE scope = 'customer' AND until > {now} AND until < {_FOREVER}"  # noqa: S608
    )
    op.execute(f"UPDATE usage_grant SET next_at = until WHERE until > {now} AND until < {_FOREVER}")  # noqa: S608
    op.execute(f"UPDATE usage_grant SET next_at = start WHERE start > {now}")  # noqa: S608
    op.execute("UPDATE subject_record SET next_at = 0")
