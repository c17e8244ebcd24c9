"""Rows of status and service levels (design, section 11). See `tables`.

`feature_status` has one row for each feature that was ever reported on. It is locked by every change of the feature's
reports and silences, and by the clock.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

from tiergate.store.usage_rows import CLUSTERED, OFTEN_UPDATED


class StatusReportRow(SQLModel, table=True):
    """A report: a `feature` has a `status` from `start` until `until`; `FOREVER`: it is open.

    `reporter_kind` and `reporter` name its source, `source_key` the alert or the like that it stands for in that
    source, empty if it has none. `note` is for the operator, `public_note` for the public page. `audience` is JSON. The
    index of `until` has all that is needed for the course of a status.
    """

    __tablename__ = "status_report"
    __table_args__ = (
        Index("status_report_feature_until", "feature", "until"),
        Index("status_report_until", "until", "start", "feature", "status", "reporter_kind"),
        Index("status_report_start", "start", "id"),
        Index("status_report_source", "reporter", "source_key"),
    )

    id: str = Field(primary_key=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    feature: str
    status: str
    start: int = Field(sa_type=BigInteger)
    until: int = Field(sa_type=BigInteger)
    reporter_kind: str
    reporter: str
    source_key: str = ""
    note: str = Field(default="", sa_type=Text)
    public_note: str = Field(default="", sa_type=Text)
    audience: str | None = Field(default=None, sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    created_by: str
    updated_at: int = Field(sa_type=BigInteger)
    updated_by: str


class FeatureStatusRow(SQLModel, table=True):
    """The last record of a feature's status in the feed, and what was told of it.

    `record`: its JSON. `shown`: the status that was told last, a `Status` or `unknown`, which it has had since `since`.
    `told`: until when changes were told. `next_at`: the next instant at which something begins or ends by itself.
    """

    __tablename__ = "feature_status"
    __table_args__ = (
        Index(
            "feature_status_next_at",
            "next_at",
            sqlite_where=text("next_at IS NOT NULL"),
            postgresql_where=text("next_at IS NOT NULL"),
        ),
    )

    feature: str = Field(primary_key=True)
    record: bytes = Field(sa_type=LargeBinary)
    shown: str = "operational"
    since: int = Field(sa_type=BigInteger)
    told: int = Field(sa_type=BigInteger)
    next_at: int | None = Field(default=None, sa_type=BigInteger)


class StatusMonitorRow(SQLModel, table=True):
    """A monitor. `key`: the only API key that may speak for it, if any. `features` is a JSON list.

    `every`: it should be heard this often, in milliseconds; none: nothing is expected. `heard_at`: when it was heard
    last. `silent_since`: it is told to be silent since then. A heartbeat updates columns without an index only.
    """

    __tablename__ = "status_monitor"
    __table_args__ = (OFTEN_UPDATED,)

    name: str = Field(primary_key=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    key: str | None = None
    features: str = Field(default="[]", sa_type=Text)
    every: int | None = Field(default=None, sa_type=BigInteger)
    description: str = Field(default="", sa_type=Text)
    heard_at: int | None = Field(default=None, sa_type=BigInteger)
    silent_since: int | None = Field(default=None, sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class StatusSilenceRow(SQLModel, table=True):
    """A time in which a `monitor` that should report on a `feature` was silent; `until`: `FOREVER` while it is."""

    __tablename__ = "status_silence"
    __table_args__ = (
        Index("status_silence_feature_until", "feature", "until"),
        Index("status_silence_until", "until"),
        CLUSTERED,
    )

    monitor: str = Field(primary_key=True)
    feature: str = Field(primary_key=True)
    start: int = Field(primary_key=True, sa_type=BigInteger)
    until: int = Field(sa_type=BigInteger)


class OutcomeHourRow(SQLModel, table=True):
    """What services reported of a `feature` in the `hour` that begins at an instant, for each minute of it.

    `bad`: how many of its requests failed or were slow; without any, no minute is worse than promised. `minutes`:
    packed by `store.outcomes`.
    """

    __tablename__ = "outcome_hour"
    __table_args__ = (
        Index("outcome_hour_hour", "hour"),
        Index("outcome_hour_bad", "hour", sqlite_where=text("bad > 0"), postgresql_where=text("bad > 0")),
        OFTEN_UPDATED,
    )

    feature: str = Field(primary_key=True)
    hour: int = Field(primary_key=True, sa_type=BigInteger)
    bad: int = Field(default=0, sa_type=BigInteger)
    minutes: bytes = Field(sa_type=LargeBinary)


class OutcomeSourceRow(SQLModel, table=True):
    """A sidecar, from one start to its end, that sends outcomes in batches; `number`: the last one that was added."""

    __tablename__ = "outcome_source"
    __table_args__ = (Index("outcome_source_seen_at", "seen_at"), CLUSTERED)

    source: str = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    seen_at: int = Field(sa_type=BigInteger)


class ServiceLevelRow(SQLModel, table=True):
    """What is promised of a `feature` from `start` on, until the next row, by an `item`, or in general if it is empty.

    `level` is the JSON of a `ServiceLevel`; none: nothing is promised any more. `publication`: the one that brought it.
    """

    __tablename__ = "service_level_history"
    __table_args__ = (CLUSTERED,)

    feature: str = Field(primary_key=True)
    item: str = Field(primary_key=True)
    start: int = Field(primary_key=True, sa_type=BigInteger)
    level: str | None = Field(default=None, sa_type=Text)
    publication: int = Field(default=0, sa_type=BigInteger)


class BudgetSpentRow(SQLModel, table=True):
    """How much of an error budget was told to be spent, in the window from `start`: the highest level in percent."""

    __tablename__ = "budget_spent"
    __table_args__ = (CLUSTERED,)

    feature: str = Field(primary_key=True)
    item: str = Field(primary_key=True)
    start: int = Field(sa_type=BigInteger)
    percent: int = Field(sa_type=BigInteger)
    at: int = Field(sa_type=BigInteger)


class OutcomeJudgementRow(SQLModel, table=True):
    """What the outcomes of an hour say by the promise of an `item`, or the general one if it is empty.

    `bad` is a JSON list of `[start, until, status]`, in order; an hour without any has no row.
    """

    __tablename__ = "outcome_judgement"
    __table_args__ = (Index("outcome_judgement_hour", "hour"), CLUSTERED)

    feature: str = Field(primary_key=True)
    item: str = Field(primary_key=True)
    hour: int = Field(primary_key=True, sa_type=BigInteger)
    bad: str = Field(sa_type=Text)
