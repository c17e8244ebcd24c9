"""The tables of the store.

Rows only: what they mean is the model's, and the modules beside this one map between the two. Instants are UTC
milliseconds, numbers are in units of 10^-scale, `etag` counts the changes of what a row stands for, and a column named
`document` holds the canonical JSON of a structure of the model. Sizes follow from the rules on ids and texts of the
files, so no column is bounded a second time.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Text
from sqlmodel import Field, SQLModel

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


# ── The working catalog ──────────────────────────────────────────────────────────────────────────────────────────────


class FeatureRow(SQLModel, table=True):
    """A feature as it is edited; `document` is the model's `Feature`."""

    __tablename__ = "feature"

    id: str = Field(primary_key=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    type: str = Field(index=True)
    status: str = Field(index=True)
    name: str
    document: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)


class FeatureTagRow(SQLModel, table=True):
    """A tag of a feature."""

    __tablename__ = "feature_tag"

    tag: str = Field(primary_key=True)
    feature: str = Field(primary_key=True, index=True)


class ItemRow(SQLModel, table=True):
    """An item as it is edited.

    `document` is the model's `Item` without versions and rollouts; `rollouts` the JSON list of those in force;
    `draft` the JSON of the entitlements that the next version will give, or none. `private_to`: the one customer who
    may hold it. `newest`: the highest version that was ever published, 0 for none.
    """

    __tablename__ = "item"

    id: str = Field(primary_key=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    kind: str = Field(index=True)
    name: str
    document: str = Field(sa_type=Text)
    rollouts: str = Field(default="[]", sa_type=Text)
    draft: str | None = Field(default=None, sa_type=Text)
    newest: int = Field(default=0, sa_type=BigInteger)
    private_to: str | None = Field(default=None, index=True)
    created_at: int = Field(sa_type=BigInteger)
    updated_at: int = Field(sa_type=BigInteger)
    status: str = "active"


class ItemTagRow(SQLModel, table=True):
    """A tag of an item."""

    __tablename__ = "item_tag"

    tag: str = Field(primary_key=True)
    item: str = Field(primary_key=True, index=True)


class VersionRow(SQLModel, table=True):
    """A published version of an item, which never changes: `entitlements` is JSON, feature id → value."""

    __tablename__ = "item_version"

    item: str = Field(primary_key=True)
    version: int = Field(primary_key=True, sa_type=BigInteger)
    entitlements: str = Field(sa_type=Text)
    publication: int = Field(sa_type=BigInteger)
    published_at: int = Field(sa_type=BigInteger)


class PublishedFeatureRow(SQLModel, table=True):
    """A feature that was ever published, and the type that its id keeps for ever."""

    __tablename__ = "published_feature"

    id: str = Field(primary_key=True)
    type: str


class PolicyFileRow(SQLModel, table=True):
    """A file of the users' rules, or the roles, as it is edited.

    `kind` is `policies`, `schemas` or `entities` (rules, as in the model's `Rules`), or `roles`.
    """

    __tablename__ = "policy_file"

    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    etag: int = Field(default=1, sa_type=BigInteger)
    text: str = Field(sa_type=Text)
    updated_at: int = Field(sa_type=BigInteger)


class PublicationRow(SQLModel, table=True):
    """A publication: `envelope` is the signed statement; `catalog`, `rules` and `roles` are blobs of what it fixed."""

    __tablename__ = "publication"

    sequence: int = Field(primary_key=True, sa_type=BigInteger)
    revision: str = Field(index=True)
    position: int = Field(sa_type=BigInteger)
    issued_at: int = Field(sa_type=BigInteger, index=True)
    envelope: bytes = Field(sa_type=LargeBinary)
    catalog: str
    rules: str
    roles: str
    rolled_back_to: int | None = Field(default=None, sa_type=BigInteger)
    author: str
    note: str = Field(default="", sa_type=Text)


class BundleRow(SQLModel, table=True):
    """A bundle by its revision: the manifest, whose files are blobs."""

    __tablename__ = "bundle"

    revision: str = Field(primary_key=True)
    manifest: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger)


# ── Subjects ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class CustomerRow(SQLModel, table=True):
    """A customer. `tags`, `attributes`, `metadata` and `external_ids` are JSON; the other parts have their own tables.

    `search`: the texts by which it is found, as `naming.search_key` makes them, one per line.
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
    """A subscription. Its customer never changes. `term`, `metadata` and `external_ids` are JSON; `search` as there."""

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


class HeldItemRow(SQLModel, table=True):
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
    """A feature suspended for a customer or subscription. Those for everybody stand in the feature."""

    __tablename__ = "suspension"

    holder_type: str = Field(primary_key=True)
    holder: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    feature: str = Field(index=True)
    start: int = Field(sa_type=BigInteger)
    until: int = Field(sa_type=BigInteger)
    reason: str = Field(default="", sa_type=Text)


class ExternalIdRow(SQLModel, table=True):
    """The id that a `system` has for a customer or subscription (`kind`), of which `holder` is the id here."""

    __tablename__ = "external_id"
    __table_args__ = (Index("external_id_kind_holder", "kind", "holder"),)

    kind: str = Field(primary_key=True)
    system: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    holder: str


class TombstoneRow(SQLModel, table=True):
    """The last entity tag of something that was deleted: a customer, subscription, feature, item or file of rules."""

    __tablename__ = "tombstone"

    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    etag: int = Field(sa_type=BigInteger)


class AsOfRow(SQLModel, table=True):
    """As of when what was last written of one side of a customer or subscription (`kind`) was so."""

    __tablename__ = "as_of"

    kind: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    side: str = Field(primary_key=True)
    as_of: int = Field(sa_type=BigInteger)
    written_at: int = Field(sa_type=BigInteger)


class PlanEndingRow(SQLModel, table=True):
    """What of a `subscription` ends with its plan at a change of plan `at` an instant: the JSON of it as it was."""

    __tablename__ = "plan_ending"

    subscription: str = Field(primary_key=True)
    at: int = Field(sa_type=BigInteger)
    items: str = Field(sa_type=Text)


class RecordRow(SQLModel, table=True):
    """What the feed last said of a customer: the JSON of its `SubjectRecord`, without what is for people alone."""

    __tablename__ = "subject_record"

    customer: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)
    record: bytes = Field(sa_type=LargeBinary)


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
