"""The tables of the store.

Rows only: what they mean is the model's, and the modules beside this one map between the two. Instants are UTC
milliseconds, numbers are in units of 10^-scale, `etag` counts the changes of what a row stands for, and a column named
`document` holds the canonical JSON of a structure of the model. Sizes follow from the rules on ids and texts of the
files, so no column is bounded a second time.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text
from sqlmodel import Field, SQLModel

from tiergate.store.catalog_rows import (
    BundleRow,
    FeatureRow,
    FeatureTagRow,
    ItemRow,
    ItemTagRow,
    PolicyFileRow,
    PublicationRow,
    PublishedFeatureRow,
    VersionRow,
)
from tiergate.store.subject_rows import (
    AsOfRow,
    CustomerRow,
    CustomerTagRow,
    ExternalIdRow,
    OverrideRow,
    PlanEndingRow,
    RecordRow,
    SubscriptionItemRow,
    SubscriptionRow,
    SuspensionRow,
    TombstoneRow,
)

ONLY_ROW = 1
"""The key of a table that has one row."""


# ── The store itself ─────────────────────────────────────────────────────────────────────────────────────────────────


class StoreRow(SQLModel, table=True):
    """One row: who this store is. `bootstrapped_at`: when the first admin key was made."""

    __tablename__ = "store"

    key: int = Field(default=ONLY_ROW, primary_key=True)
    id: str
    created_at: int = Field(sa_type=BigInteger)
    bootstrapped_at: int | None = Field(default=None, sa_type=BigInteger)


class FeedHeadRow(SQLModel, table=True):
    """One row, locked by whoever appends: the last position and the chain up to it, and the publication in force.

    Pages can be read from positions after `floor` on; what stands before it was erased or dropped.
    """

    __tablename__ = "feed_head"

    key: int = Field(default=ONLY_ROW, primary_key=True)
    position: int = Field(default=0, sa_type=BigInteger)
    chain: str
    floor: int = Field(default=0, sa_type=BigInteger)
    publication: int = Field(default=0, sa_type=BigInteger)


class FeedRow(SQLModel, table=True):
    """One entry of the feed.

    `line` is what readers get; `digest` is the SHA-256 of the line as it was published, `chain` that of all up to here.
    An entry is about a `customer` or a `publication`. `redacted`: a person's data was taken out of the line since.
    """

    __tablename__ = "feed"
    __table_args__ = (Index("feed_customer_position", "customer", "position"),)

    position: int = Field(primary_key=True, sa_type=BigInteger)
    at: int = Field(sa_type=BigInteger, index=True)
    customer: str | None = None
    publication: int | None = Field(default=None, sa_type=BigInteger)
    line: bytes = Field(sa_type=LargeBinary)
    digest: str
    chain: str
    redacted: bool = False


class BlobRow(SQLModel, table=True):
    """Immutable bytes by their SHA-256, in hex: files of bundles, catalogs, pages and manifests of snapshots."""

    __tablename__ = "blob"

    sha256: str = Field(primary_key=True)
    content: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger)


class SnapshotRow(SQLModel, table=True):
    """A snapshot of all subjects: at which position, and the blob of its manifest."""

    __tablename__ = "snapshot"

    position: int = Field(primary_key=True, sa_type=BigInteger)
    manifest: str
    created_at: int = Field(sa_type=BigInteger)


# ── Access and accountability ────────────────────────────────────────────────────────────────────────────────────────


class KeyRow(SQLModel, table=True):
    """An API key: only the SHA-256 of its secret is kept. `roles`, `actions` and `customers` are JSON lists."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    name: str
    secret_sha256: str
    roles: str = Field(sa_type=Text)
    actions: str | None = Field(default=None, sa_type=Text)
    customers: str | None = Field(default=None, sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    created_by: str
    expires_at: int | None = Field(default=None, sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)
    last_used_at: int | None = Field(default=None, sa_type=BigInteger)


class AuditRow(SQLModel, table=True):
    """One change: who, what, before, after, why. Only ever added, but for the redaction of a person's data."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_resource", "kind", "resource", "id"),)

    # SQLite counts by itself in an INTEGER key alone, which holds 64 bits there.
    id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    )
    at: int = Field(sa_type=BigInteger, index=True)
    actor: str = Field(index=True)
    actor_kind: str
    action: str = Field(index=True)
    kind: str
    resource: str
    customer: str | None = Field(default=None, index=True)
    before: str | None = Field(default=None, sa_type=Text)
    after: str | None = Field(default=None, sa_type=Text)
    reason: str = Field(default="", sa_type=Text)
    request_id: str = ""
    redacted: bool = False


class IdempotencyRow(SQLModel, table=True):
    """The answer that a creating request got, for whoever sends it again."""

    __tablename__ = "idempotency"

    caller: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_sha256: str
    status: int
    headers: str = Field(sa_type=Text)
    body: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger, index=True)


class WebhookRow(SQLModel, table=True):
    """Where events go. `events` is a JSON list, an empty one is all of them; `secrets` one of `webhooks.Secret`."""

    __tablename__ = "webhook"

    id: str = Field(primary_key=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    url: str = Field(sa_type=Text)
    events: str = Field(default="[]", sa_type=Text)
    secrets: str = Field(sa_type=Text)
    description: str = Field(default="", sa_type=Text)
    enabled: bool = True
    failing_since: int | None = Field(default=None, sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class DeliveryRow(SQLModel, table=True):
    """One event on its way to one webhook. `status` is `waiting`, `delivered` or `dead`."""

    __tablename__ = "delivery"
    __table_args__ = (
        Index("delivery_due", "status", "due_at"),
        Index("delivery_webhook_due", "webhook", "status", "due_at"),
        Index("delivery_webhook_created", "webhook", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    webhook: str
    type: str
    payload: bytes = Field(sa_type=LargeBinary)
    status: str = "waiting"
    attempts: int = 0
    due_at: int = Field(sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger)
    answer: str = Field(default="", sa_type=Text)


# ── The tables ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _table(row: type[SQLModel]) -> Table:
    table: Table = row.__table__  # type: ignore[attr-defined]
    return table


STORE = _table(StoreRow)
FEED_HEAD = _table(FeedHeadRow)
FEED = _table(FeedRow)
BLOBS = _table(BlobRow)
SNAPSHOTS = _table(SnapshotRow)
FEATURES = _table(FeatureRow)
FEATURE_TAGS = _table(FeatureTagRow)
ITEMS = _table(ItemRow)
ITEM_TAGS = _table(ItemTagRow)
VERSIONS = _table(VersionRow)
PUBLISHED_FEATURES = _table(PublishedFeatureRow)
POLICY_FILES = _table(PolicyFileRow)
PUBLICATIONS = _table(PublicationRow)
BUNDLES = _table(BundleRow)
CUSTOMERS = _table(CustomerRow)
CUSTOMER_TAGS = _table(CustomerTagRow)
SUBSCRIPTIONS = _table(SubscriptionRow)
SUBSCRIPTION_ITEMS = _table(SubscriptionItemRow)
OVERRIDES = _table(OverrideRow)
SUSPENSIONS = _table(SuspensionRow)
EXTERNAL_IDS = _table(ExternalIdRow)
TOMBSTONES = _table(TombstoneRow)
AS_OF = _table(AsOfRow)
PLAN_ENDINGS = _table(PlanEndingRow)
RECORDS = _table(RecordRow)
KEYS = _table(KeyRow)
AUDIT = _table(AuditRow)
IDEMPOTENCY = _table(IdempotencyRow)
WEBHOOKS = _table(WebhookRow)
DELIVERIES = _table(DeliveryRow)
