"""Rows of usage: what is counted, leased, given and kept (design, section 10). See `tables`.

An account is a feature and whose usage it is: `scope` is that of `tiergate.usage.accounts`, `customer` is empty for
everybody, `member` is the id of the subscription or user, else empty. Amounts are in units of 10^-scale of the feature.

`usage_account` has one row for each account, with its latest window. It is locked by every change of the account, of
its earlier windows in `usage_window`, and of what was spent of a customer's grants. When a window opens, the one before
moves to `usage_window`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

CLUSTERED = {"sqlite_with_rowid": False}
"""Rows are in the index of the primary key itself, where the database can do that."""

OFTEN_UPDATED = {**CLUSTERED, "postgresql_with": {"fillfactor": 75}}
"""Pages have room for new versions of their rows, so that no index changes with them."""


def _of_what_comes(name: str) -> Index:
    """Return an index of the rows for which the clock has still to do something."""
    comes = text("next_at IS NOT NULL")
    return Index(name, "next_at", sqlite_where=comes, postgresql_where=comes)


class UsageAccountRow(SQLModel, table=True):
    """The latest window of an account: from `start` until `until`; `BEGINNING` and `FOREVER` if it never resets.

    `booked` and `leased` units; `drawn`: the JSON of where they came from, none if all came from the allowance.
    `leases`: the number of leases that are not settled. `allowance` and `limit_units` follow what moves them;
    none: unlimited. `fired`: the JSON list of the thresholds that fired in this window. `next_at`: the end of a window
    whose end was not told yet.
    """

    __tablename__ = "usage_account"
    __table_args__ = (
        _of_what_comes("usage_account_next_at"),
        Index("usage_account_feature", "feature", "scope"),
        Index("usage_account_until", "until"),
        OFTEN_UPDATED,
    )

    customer: str = Field(primary_key=True)
    feature: str = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    member: str = Field(primary_key=True)
    start: int = Field(sa_type=BigInteger)
    until: int = Field(sa_type=BigInteger)
    booked: int = Field(sa_type=BigInteger)
    leased: int = Field(sa_type=BigInteger)
    leases: int = Field(sa_type=BigInteger)
    version: int = Field(sa_type=BigInteger)
    allowance: int | None = Field(default=None, sa_type=BigInteger)
    limit_units: int | None = Field(default=None, sa_type=BigInteger)
    drawn: str | None = Field(default=None, sa_type=Text)
    fired: str | None = Field(default=None, sa_type=Text)
    next_at: int | None = Field(default=None, sa_type=BigInteger)


class UsageWindowRow(SQLModel, table=True):
    """An earlier window of an account; columns as in `usage_account`."""

    __tablename__ = "usage_window"
    __table_args__ = (Index("usage_window_until", "until", postgresql_using="brin"), CLUSTERED)

    customer: str = Field(primary_key=True)
    feature: str = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    member: str = Field(primary_key=True)
    start: int = Field(primary_key=True, sa_type=BigInteger)
    until: int = Field(sa_type=BigInteger)
    booked: int = Field(sa_type=BigInteger)
    leased: int = Field(sa_type=BigInteger)
    leases: int = Field(sa_type=BigInteger)
    version: int = Field(sa_type=BigInteger)
    allowance: int | None = Field(default=None, sa_type=BigInteger)
    limit_units: int | None = Field(default=None, sa_type=BigInteger)
    drawn: str | None = Field(default=None, sa_type=Text)
    fired: str | None = Field(default=None, sa_type=Text)


class UsageGrantRow(SQLModel, table=True):
    """Units that a customer has once for a feature, and how many of them were `spent`, in all windows.

    Those that rolled over from a window have an id that names it (`tiergate.usage.pools`). `next_at`: when it begins or
    ends, until that was told.
    """

    __tablename__ = "usage_grant"
    __table_args__ = (
        _of_what_comes("usage_grant_next_at"),
        Index("usage_grant_until", "until", postgresql_using="brin"),
        CLUSTERED,
    )

    customer: str = Field(primary_key=True)
    feature: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    amount: int = Field(sa_type=BigInteger)
    spent: int = Field(sa_type=BigInteger)
    start: int = Field(sa_type=BigInteger)
    until: int = Field(sa_type=BigInteger)
    priority: int
    reason: str = Field(default="", sa_type=Text)
    author: str = ""
    created_at: int = Field(sa_type=BigInteger)
    next_at: int | None = Field(default=None, sa_type=BigInteger)


class UsageThresholdRow(SQLModel, table=True):
    """The thresholds of one customer for a feature, in place of the feature's: a JSON list of levels."""

    __tablename__ = "usage_threshold"

    customer: str = Field(primary_key=True)
    feature: str = Field(primary_key=True)
    levels: str = Field(sa_type=Text)
    etag: int = Field(default=1, sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class UsageHolderRow(SQLModel, table=True):
    """A holder of leases: how far its requests and reports went, and the last `reply` to it (MessagePack)."""

    __tablename__ = "usage_holder"

    holder: str = Field(primary_key=True)
    epoch: int = Field(sa_type=BigInteger)
    instance: bytes = Field(sa_type=LargeBinary)
    sequence: int = Field(sa_type=BigInteger)
    booked_through: int = Field(sa_type=BigInteger)
    last_lease: int = Field(sa_type=BigInteger)
    leases: int = Field(sa_type=BigInteger)
    reply: bytes | None = Field(default=None, sa_type=LargeBinary)
    seen: int = Field(sa_type=BigInteger)


class UsageLeaseRow(SQLModel, table=True):
    """A lease that is not settled, of units of one window of an account."""

    __tablename__ = "usage_lease"
    __table_args__ = (CLUSTERED,)

    holder: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_type=BigInteger)
    customer: str
    feature: str
    scope: str
    member: str
    start: int = Field(sa_type=BigInteger)
    units: int = Field(sa_type=BigInteger)
    spent: int = Field(sa_type=BigInteger)
    expires: int = Field(sa_type=BigInteger)
    written_off: bool = False


class UsageKeyRow(SQLModel, table=True):
    """An idempotency key of a consumption: a hash, the hashes of what it stands for, and the answer, if it is kept."""

    __tablename__ = "usage_key"
    __table_args__ = (Index("usage_key_at", "at", postgresql_using="brin"), CLUSTERED)

    key: bytes = Field(primary_key=True, sa_type=LargeBinary)
    digests: bytes = Field(sa_type=LargeBinary)
    at: int = Field(sa_type=BigInteger)
    answer: bytes | None = Field(default=None, sa_type=LargeBinary)


class UsageDaysRow(SQLModel, table=True):
    """What a customer used of a feature on each day of a `month` in UTC: a MessagePack list, without zeros at its end.

    `month`: months since January of the year 0.
    """

    __tablename__ = "usage_days"
    __table_args__ = (OFTEN_UPDATED,)

    feature: str = Field(primary_key=True)
    month: int = Field(primary_key=True)
    customer: str = Field(primary_key=True)
    units: bytes = Field(sa_type=LargeBinary)


class UsageHoursRow(SQLModel, table=True):
    """As `usage_days`, for each hour of a `day` in UTC; `day`: days since 1970."""

    __tablename__ = "usage_hours"
    __table_args__ = (OFTEN_UPDATED,)

    feature: str = Field(primary_key=True)
    day: int = Field(primary_key=True)
    customer: str = Field(primary_key=True)
    units: bytes = Field(sa_type=LargeBinary)
