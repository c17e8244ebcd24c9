"""The tables of the store, for statements. Rows are defined in `*_rows` and, what belongs to none of them, here.

Instants are UTC milliseconds, numbers are in units of 10^-scale, `etag` counts the changes of the row's subject, and a
column named `document` has the canonical JSON of a structure of the model. Columns have no limits of their own: the
rules on ids and texts of the files limit them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, text
from sqlmodel import Field, SQLModel

from tiergate.store import catalog_rows as catalog
from tiergate.store import status_rows as status
from tiergate.store import subject_rows as subjects
from tiergate.store import usage_rows as usage

ONLY_ROW = 1
"""The key of a table that has one row."""


class StoreRow(SQLModel, table=True):
    """One row: the identity of this store. `bootstrapped_at`: when the first admin key was created."""

    __tablename__ = "store"

    key: int = Field(default=ONLY_ROW, primary_key=True)
    id: str
    created_at: int = Field(sa_type=BigInteger)
    bootstrapped_at: int | None = Field(default=None, sa_type=BigInteger)


class FeedHeadRow(SQLModel, table=True):
    """One row, locked to append: the last position, the chain up to it, and the active publication.

    Pages can be read after positions from `floor` on; lines before it may be redacted or dropped.
    """

    __tablename__ = "feed_head"

    key: int = Field(default=ONLY_ROW, primary_key=True)
    position: int = Field(default=0, sa_type=BigInteger)
    chain: str
    floor: int = Field(default=0, sa_type=BigInteger)
    publication: int = Field(default=0, sa_type=BigInteger)


class FeedRow(SQLModel, table=True):
    """One entry of the feed, about a `customer`, a `publication`, or the status of a feature.

    `digest` is the SHA-256 of the `line` as published, `chain` that of all lines up to here. `redacted`: personal data
    was removed from the line later.
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
    """A snapshot of all subjects: its position, and the blob of its manifest."""

    __tablename__ = "snapshot"

    position: int = Field(primary_key=True, sa_type=BigInteger)
    manifest: str
    created_at: int = Field(sa_type=BigInteger)


class KeyRow(SQLModel, table=True):
    """An API key, with the SHA-256 of its secret. `roles`, `actions` and `customers` are JSON lists."""

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
    """One change: who, what, before, after, why. Entries are only added, or redacted by an erasure."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_resource", "kind", "resource", "id"),)

    # SQLite assigns numbers only to an INTEGER key, which has 64 bits there.
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
    """The response to a creating request, for when it is sent again."""

    __tablename__ = "idempotency"

    caller: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_sha256: str
    status: int
    headers: str = Field(sa_type=Text)
    body: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger, index=True)


class WebhookRow(SQLModel, table=True):
    """A webhook. `events` is a JSON list of types, empty for all; `secrets` is a JSON list of `webhooks.Secret`."""

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


class EventHeadRow(SQLModel, table=True):
    """One row, locked to append events: the last position.

    `checked_publication`: the last one after which the thresholds of all customers were checked. `catalog_told`: until
    when it was told what begins and ends in the catalog itself.
    """

    __tablename__ = "event_head"

    key: int = Field(default=ONLY_ROW, primary_key=True, sa_type=BigInteger)
    position: int = Field(default=0, sa_type=BigInteger)
    checked_publication: int = Field(default=0, sa_type=BigInteger)
    catalog_told: int = Field(default=0, sa_type=BigInteger)


class EventRow(SQLModel, table=True):
    """An event that happened `at` an instant, about a `customer` or none, and was recorded at another.

    `features`: the JSON list of the features concerned. `payload` is the body of its deliveries.
    """

    __tablename__ = "event"
    __table_args__ = (
        Index("event_customer_position", "customer", "position"),
        Index("event_type_position", "type", "position"),
        Index("event_recorded_at", "recorded_at"),
    )

    position: int = Field(primary_key=True, sa_type=BigInteger)
    id: str
    type: str
    customer: str | None = None
    features: str = Field(default="[]", sa_type=Text)
    at: int = Field(sa_type=BigInteger)
    recorded_at: int = Field(sa_type=BigInteger)
    payload: bytes = Field(sa_type=LargeBinary)


class DeliveryRow(SQLModel, table=True):
    """A delivery of one event to one webhook. `status` is `waiting`, `delivered` or `dead`.

    `event` and `position` are those of the event. Deliveries with the same `line` are made one after the other, by
    position; those without a line at any time.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        Index(
            "delivery_line",
            *("webhook", "line", "position"),
            sqlite_where=text("status = 'waiting'"),
            postgresql_where=text("status = 'waiting'"),
        ),
        Index("delivery_webhook_position", "webhook", "position"),
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
    event: str = ""
    line: str = ""
    position: int = Field(default=0, sa_type=BigInteger)


def _table(row: type[SQLModel]) -> Table:
    table: Table = row.__table__  # type: ignore[attr-defined]
    return table


STORE = _table(StoreRow)
FEED_HEAD = _table(FeedHeadRow)
FEED = _table(FeedRow)
BLOBS = _table(BlobRow)
SNAPSHOTS = _table(SnapshotRow)
FEATURES = _table(catalog.FeatureRow)
FEATURE_TAGS = _table(catalog.FeatureTagRow)
ITEMS = _table(catalog.ItemRow)
ITEM_TAGS = _table(catalog.ItemTagRow)
VERSIONS = _table(catalog.VersionRow)
PUBLISHED_FEATURES = _table(catalog.PublishedFeatureRow)
POLICY_FILES = _table(catalog.PolicyFileRow)
PUBLICATIONS = _table(catalog.PublicationRow)
BUNDLES = _table(catalog.BundleRow)
CUSTOMERS = _table(subjects.CustomerRow)
CUSTOMER_TAGS = _table(subjects.CustomerTagRow)
SUBSCRIPTIONS = _table(subjects.SubscriptionRow)
SUBSCRIPTION_ITEMS = _table(subjects.SubscriptionItemRow)
OVERRIDES = _table(subjects.OverrideRow)
SUSPENSIONS = _table(subjects.SuspensionRow)
EXTERNAL_IDS = _table(subjects.ExternalIdRow)
TOMBSTONES = _table(subjects.TombstoneRow)
AS_OF = _table(subjects.AsOfRow)
PLAN_ENDINGS = _table(subjects.PlanEndingRow)
RECORDS = _table(subjects.RecordRow)
KEYS = _table(KeyRow)
AUDIT = _table(AuditRow)
IDEMPOTENCY = _table(IdempotencyRow)
WEBHOOKS = _table(WebhookRow)
EVENT_HEAD = _table(EventHeadRow)
EVENTS = _table(EventRow)
DELIVERIES = _table(DeliveryRow)
USAGE_ACCOUNTS = _table(usage.UsageAccountRow)
USAGE_WINDOWS = _table(usage.UsageWindowRow)
USAGE_GRANTS = _table(usage.UsageGrantRow)
USAGE_HOLDERS = _table(usage.UsageHolderRow)
USAGE_LEASES = _table(usage.UsageLeaseRow)
USAGE_KEYS = _table(usage.UsageKeyRow)
USAGE_THRESHOLDS = _table(usage.UsageThresholdRow)
USAGE_DAYS = _table(usage.UsageDaysRow)
USAGE_HOURS = _table(usage.UsageHoursRow)
STATUS_REPORTS = _table(status.StatusReportRow)
FEATURE_STATUS = _table(status.FeatureStatusRow)
STATUS_MONITORS = _table(status.StatusMonitorRow)
STATUS_SILENCES = _table(status.StatusSilenceRow)
OUTCOME_HOURS = _table(status.OutcomeHourRow)
OUTCOME_SOURCES = _table(status.OutcomeSourceRow)
SERVICE_LEVEL_HISTORY = _table(status.ServiceLevelRow)
BUDGETS_SPENT = _table(status.BudgetSpentRow)
OUTCOME_JUDGEMENTS = _table(status.OutcomeJudgementRow)
