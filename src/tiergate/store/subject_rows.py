"""Rows of customers, subscriptions, and everything that belongs to them. See `tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel


class CustomerRow(SQLModel, table=True):
    """A customer. `tags`, `attributes`, `metadata` and `external_ids` are JSON; other parts have their own tables.

    `search`: the search keys of its texts (`text_normalization.search_key`), one per line.
    """

    __tablename__ = "customer"

    id: str = Field(primary_key=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    tags: str = Field(default="[]", sa_type=Text)
    attributes: str = Field(default="{}", sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
    erased_at: int | None = Field(default=None, sa_type=BigInteger)
    name: str = ""
    metadata_: str = Field(default="{}", sa_column=Column("metadata", Text, default="{}", nullable=False))
    external_ids: str = Field(default="{}", sa_type=Text)
    search: str = Field(default="", sa_type=Text)


class CustomerTagRow(SQLModel, table=True):
    """A tag of a customer."""

    __tablename__ = "customer_tag"

    tag: str = Field(primary_key=True)
    customer: str = Field(primary_key=True, index=True)


class SubscriptionRow(SQLModel, table=True):
    """A subscription, of one customer for ever. `term`, `metadata` and `external_ids` are JSON; `search` as above."""

    __tablename__ = "subscription"

    id: str = Field(primary_key=True)
    customer: str = Field(index=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    status: str = Field(index=True)
    start: int | None = Field(default=None, sa_type=BigInteger)
    end: int | None = Field(default=None, sa_type=BigInteger)
    trial_end: int | None = Field(default=None, sa_type=BigInteger)
    grace_until: int | None = Field(default=None, sa_type=BigInteger)
    resume_at: int | None = Field(default=None, sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
    resumes_as: str | None = None
    term: str | None = Field(default=None, sa_type=Text)
    metadata_: str = Field(default="{}", sa_column=Column("metadata", Text, default="{}", nullable=False))
    external_ids: str = Field(default="{}", sa_type=Text)
    search: str = Field(default="", sa_type=Text)


class SubscriptionItemRow(SQLModel, table=True):
    """An item in a subscription, at its `place` from 0."""

    __tablename__ = "held_item"
    __table_args__ = (Index("held_item_item_version", "item", "version"),)

    subscription: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    item: str
    quantity: int = Field(default=1, sa_type=BigInteger)
    version: int | None = Field(default=None, sa_type=BigInteger)
    added_at: int | None = Field(default=None, sa_type=BigInteger)
    start: int = Field(sa_type=BigInteger)
    until: int = Field(sa_type=BigInteger)


class OverrideRow(SQLModel, table=True):
    """An override of a customer or subscription. `value` is JSON, none where the mode is `disabled`."""

    __tablename__ = "override"

    holder_type: str = Field(primary_key=True)
    holder: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    place: int = Field(default=0)
    feature: str = Field(index=True)
    mode: str
    value: str | None = Field(default=None, sa_type=Text)
    start: int = Field(sa_type=BigInteger)
    until: int = Field(sa_type=BigInteger)
    author: str = ""
    reason: str = Field(default="", sa_type=Text)


class SuspensionRow(SQLModel, table=True):
    """A feature suspended for one customer or subscription. Suspensions for all are in the feature."""

    __tablename__ = "suspension"

    holder_type: str = Field(primary_key=True)
    holder: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    feature: str = Field(index=True)
    start: int = Field(sa_type=BigInteger)
    until: int = Field(sa_type=BigInteger)
    reason: str = Field(default="", sa_type=Text)


class ExternalIdRow(SQLModel, table=True):
    """The id in another `system` of a customer or subscription (`kind`), whose id here is `holder`."""

    __tablename__ = "external_id"
    __table_args__ = (Index("external_id_kind_holder", "kind", "holder"),)

    kind: str = Field(primary_key=True)
    system: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    holder: str


class TombstoneRow(SQLModel, table=True):
    """The last entity tag of a deleted customer, subscription, feature, item or file of rules."""

    __tablename__ = "tombstone"

    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    etag: int = Field(sa_type=BigInteger)


class AsOfRow(SQLModel, table=True):
    """The `as_of` of the last write of one side of a customer or subscription (`kind`)."""

    __tablename__ = "as_of"

    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    side: str = Field(primary_key=True)
    as_of: int = Field(sa_type=BigInteger)
    written_at: int = Field(sa_type=BigInteger)


class PlanEndingRow(SQLModel, table=True):
    """The JSON of the items of a `subscription` that end with its plan `at` an instant, as they were before."""

    __tablename__ = "plan_ending"

    subscription: str = Field(primary_key=True)
    at: int = Field(sa_type=BigInteger)
    items: str = Field(sa_type=Text)


class RecordRow(SQLModel, table=True):
    """The last record of a customer in the feed: the JSON of its redacted `SubjectRecord`.

    `next_at`: when something in it begins or ends, the first of what was not told yet; 0: to be found out.
    """

    __tablename__ = "subject_record"
    __table_args__ = (
        Index(
            "subject_record_next_at",
            "next_at",
            sqlite_where=text("next_at IS NOT NULL"),
            postgresql_where=text("next_at IS NOT NULL"),
        ),
    )

    customer: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)
    record: bytes = Field(sa_type=LargeBinary)
    next_at: int | None = Field(default=None, sa_type=BigInteger)
