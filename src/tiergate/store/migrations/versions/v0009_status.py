"""Status and service levels: reports, what is shown, monitors, outcomes by hours, and promises over time."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, String, Text, text

revision = "0009"
down_revision = "0008"

_TEXT = String().with_variant(String(collation="C"), "postgresql")
_ROOM_FOR_UPDATES = {"fillfactor": 75}
_COMES = text("next_at IS NOT NULL")
_IS_BAD = text("bad > 0")


def _words(*names: str, nullable: bool = False) -> list[Column[str]]:
    return [Column(name, _TEXT, nullable=nullable) for name in names]


def _texts(*names: str, nullable: bool = False) -> list[Column[str]]:
    return [Column(name, Text(), nullable=nullable) for name in names]


def _numbers(*names: str, nullable: bool = False) -> list[Column[int]]:
    return [Column(name, BigInteger(), nullable=nullable) for name in names]


def upgrade() -> None:
    """Make the tables."""
    _make_reports()
    _make_monitors()
    _make_outcomes()
    op.create_table(
        "service_level_history",
        *_words("feature", "item"),
        *_numbers("start"),
        *_texts("level", nullable=True),
        *_numbers("publication"),
        PrimaryKeyConstraint("feature", "item", "start"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "budget_spent",
        *_words("feature", "item"),
        *_numbers("start", "percent", "at"),
        PrimaryKeyConstraint("feature", "item"),
        sqlite_with_rowid=False,
    )


def _make_reports() -> None:
    op.create_table(
        "status_report",
        *_words("id"),
        *_numbers("etag"),
        *_words("feature", "status"),
        *_numbers("start", "until"),
        *_words("reporter_kind", "reporter", "source_key"),
        *_texts("note", "public_note"),
        *_texts("audience", nullable=True),
        *_numbers("created_at"),
        *_words("created_by"),
        *_numbers("updated_at"),
        *_words("updated_by"),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("status_report_feature_until", "status_report", ["feature", "until"], unique=False)
    op.create_index(
        "status_report_until",
        "status_report",
        ["until", "start", "feature", "status", "reporter_kind"],
        unique=False,
    )
    op.create_index("status_report_start", "status_report", ["start", "id"], unique=False)
    op.create_index("status_report_source", "status_report", ["reporter", "source_key"], unique=False)
    op.create_table(
        "feature_status",
        *_words("feature"),
        Column("record", LargeBinary(), nullable=False),
        *_words("shown"),
        *_numbers("since", "told"),
        *_numbers("next_at", nullable=True),
        PrimaryKeyConstraint("feature"),
    )
    op.create_index(
        "feature_status_next_at",
        "feature_status",
        ["next_at"],
        unique=False,
        sqlite_where=_COMES,
        postgresql_where=_COMES,
    )


def _make_monitors() -> None:
    op.create_table(
        "status_monitor",
        *_words("name"),
        *_numbers("etag"),
        *_words("key", nullable=True),
        *_texts("features"),
        *_numbers("every", nullable=True),
        *_texts("description"),
        *_numbers("heard_at", "silent_since", nullable=True),
        *_numbers("created_at", "updated_at"),
        PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
        postgresql_with=_ROOM_FOR_UPDATES,
    )
    op.create_table(
        "status_silence",
        *_words("monitor", "feature"),
        *_numbers("start", "until"),
        PrimaryKeyConstraint("monitor", "feature", "start"),
        sqlite_with_rowid=False,
    )
    op.create_index("status_silence_feature_until", "status_silence", ["feature", "until"], unique=False)
    op.create_index("status_silence_until", "status_silence", ["until"], unique=False)


def _make_outcomes() -> None:
    op.create_table(
        "outcome_hour",
        *_words("feature"),
        *_numbers("hour", "bad"),
        Column("minutes", LargeBinary(), nullable=False),
        PrimaryKeyConstraint("feature", "hour"),
        sqlite_with_rowid=False,
        postgresql_with=_ROOM_FOR_UPDATES,
    )
    op.create_index("outcome_hour_hour", "outcome_hour", ["hour"], unique=False)
    op.create_index(
        "outcome_hour_bad",
        "outcome_hour",
        ["hour"],
        unique=False,
        sqlite_where=_IS_BAD,
        postgresql_where=_IS_BAD,
    )
    op.create_table(
        "outcome_source",
        *_words("source"),
        *_numbers("number", "seen_at"),
        PrimaryKeyConstraint("source"),
        sqlite_with_rowid=False,
    )
    op.create_index("outcome_source_seen_at", "outcome_source", ["seen_at"], unique=False)
    op.create_table(
        "outcome_judgement",
        *_words("feature", "item"),
        *_numbers("hour"),
        *_texts("bad"),
        PrimaryKeyConstraint("feature", "item", "hour"),
        sqlite_with_rowid=False,
    )
    op.create_index("outcome_judgement_hour", "outcome_judgement", ["hour"], unique=False)
