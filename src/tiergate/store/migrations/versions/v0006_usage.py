"""Usage: accounts, windows, grants, leases, keys and series."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, PrimaryKeyConstraint, String, Text

revision = "0006"
down_revision = "0005"

_TEXT = String().with_variant(String(collation="C"), "postgresql")
_ROOM_FOR_UPDATES = {"fillfactor": 75}


def _account() -> list[Column[str]]:
    return [Column(name, _TEXT, nullable=False) for name in ("customer", "feature", "scope", "member")]


def _numbers(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger(), nullable=False) for name in names]


def _window(*, is_key: bool) -> list[Column[int] | Column[str] | PrimaryKeyConstraint]:
    key = ["customer", "feature", "scope", "member", *(["start"] if is_key else [])]
    return [
        *_numbers("start", "until", "booked", "leased", "leases", "version"),
        Column("allowance", BigInteger(), nullable=True),
        Column("limit_units", BigInteger(), nullable=True),
        Column("drawn", Text(), nullable=True),
        PrimaryKeyConstraint(*key),
    ]


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "usage_account",
        *_account(),
        *_window(is_key=False),
        sqlite_with_rowid=False,
        postgresql_with=_ROOM_FOR_UPDATES,
    )
    op.create_index("usage_account_feature", "usage_account", ["feature", "scope"], unique=False)
    op.create_index("usage_account_until", "usage_account", ["until"], unique=False)
    op.create_table("usage_window", *_account(), *_window(is_key=True), sqlite_with_rowid=False)
    op.create_index("usage_window_until", "usage_window", ["until"], unique=False, postgresql_using="brin")
    op.create_table(
        "usage_grant",
        Column("customer", _TEXT, nullable=False),
        Column("feature", _TEXT, nullable=False),
        Column("id", _TEXT, nullable=False),
        *_numbers("amount", "spent", "start", "until"),
        Column("priority", Integer(), nullable=False),
        Column("reason", Text(), nullable=False),
        Column("author", _TEXT, nullable=False),
        *_numbers("created_at"),
        PrimaryKeyConstraint("customer", "feature", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("usage_grant_until", "usage_grant", ["until"], unique=False, postgresql_using="brin")
    op.create_table(
        "usage_holder",
        Column("holder", _TEXT, nullable=False),
        *_numbers("epoch"),
        Column("instance", LargeBinary(), nullable=False),
        *_numbers("sequence", "booked_through", "last_lease", "leases"),
        Column("reply", LargeBinary(), nullable=True),
        *_numbers("seen"),
        PrimaryKeyConstraint("holder"),
    )
    op.create_table(
        "usage_lease",
        Column("holder", _TEXT, nullable=False),
        *_numbers("number"),
        *_account(),
        *_numbers("start", "units", "spent", "expires"),
        Column("written_off", Boolean(), nullable=False),
        PrimaryKeyConstraint("holder", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_key",
        Column("key", LargeBinary(), nullable=False),
        Column("digests", LargeBinary(), nullable=False),
        *_numbers("at"),
        Column("answer", LargeBinary(), nullable=True),
        PrimaryKeyConstraint("key"),
        sqlite_with_rowid=False,
    )
    op.create_index("usage_key_at", "usage_key", ["at"], unique=False, postgresql_using="brin")
    for name, period in (("usage_days", "month"), ("usage_hours", "day")):
        op.create_table(
            name,
            Column("feature", _TEXT, nullable=False),
            Column(period, Integer(), nullable=False),
            Column("customer", _TEXT, nullable=False),
            Column("units", LargeBinary(), nullable=False),
            PrimaryKeyConstraint("feature", period, "customer"),
            sqlite_with_rowid=False,
            postgresql_with=_ROOM_FOR_UPDATES,
        )
