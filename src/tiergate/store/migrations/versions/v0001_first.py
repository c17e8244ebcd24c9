"""The first schema."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, PrimaryKeyConstraint, String, Text

revision = "0001"
down_revision = None

# Ids, tags and the like are compared and sorted by their code points, as Python and SQLite do, whatever the language of
# the PostgreSQL database: pages and snapshots are in this order.
_TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:  # noqa: PLR0915 - a migration is as long as what it makes
    """Make every table."""
    op.create_table(
        "api_key",
        Column("id", _TEXT, nullable=False),
        Column("name", String(), nullable=False),
        Column("secret_sha256", _TEXT, nullable=False),
        Column("roles", Text(), nullable=False),
        Column("actions", Text(), nullable=True),
        Column("customers", Text(), nullable=True),
        Column("created_at", BigInteger(), nullable=False),
        Column("created_by", _TEXT, nullable=False),
        Column("expires_at", BigInteger(), nullable=True),
        Column("revoked_at", BigInteger(), nullable=True),
        Column("last_used_at", BigInteger(), nullable=True),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "audit",
        Column("id", BigInteger().with_variant(Integer(), "sqlite"), nullable=False),
        Column("at", BigInteger(), nullable=False),
        Column("actor", _TEXT, nullable=False),
        Column("actor_kind", _TEXT, nullable=False),
        Column("action", _TEXT, nullable=False),
        Column("kind", _TEXT, nullable=False),
        Column("resource", _TEXT, nullable=False),
        Column("customer", _TEXT, nullable=True),
        Column("before", Text(), nullable=True),
        Column("after", Text(), nullable=True),
        Column("reason", Text(), nullable=False),
        Column("request_id", _TEXT, nullable=False),
        Column("redacted", Boolean(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_resource", "audit", ["kind", "resource", "id"], unique=False)
    op.create_index("ix_audit_action", "audit", ["action"], unique=False)
    op.create_index("ix_audit_actor", "audit", ["actor"], unique=False)
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_index("ix_audit_customer", "audit", ["customer"], unique=False)
    op.create_table(
        "blob",
        Column("sha256", _TEXT, nullable=False),
        Column("content", LargeBinary(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("sha256"),
    )
    op.create_table(
        "bundle",
        Column("revision", _TEXT, nullable=False),
        Column("manifest", LargeBinary(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("revision"),
    )
    op.create_table(
        "customer",
        Column("id", _TEXT, nullable=False),
        Column("etag", BigInteger(), nullable=False),
        Column("tags", Text(), nullable=False),
        Column("attributes", Text(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("updated_at", BigInteger(), nullable=False),
        Column("erased_at", BigInteger(), nullable=True),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "customer_tag",
        Column("tag", _TEXT, nullable=False),
        Column("customer", _TEXT, nullable=False),
        PrimaryKeyConstraint("tag", "customer"),
    )
    op.create_index("ix_customer_tag_customer", "customer_tag", ["customer"], unique=False)
    op.create_table(
        "delivery",
        Column("id", _TEXT, nullable=False),
        Column("webhook", _TEXT, nullable=False),
        Column("type", _TEXT, nullable=False),
        Column("payload", LargeBinary(), nullable=False),
        Column("status", _TEXT, nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("due_at", BigInteger(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("finished_at", BigInteger(), nullable=True),
        Column("answer", Text(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("delivery_due", "delivery", ["status", "due_at"], unique=False)
    op.create_index("delivery_webhook_created", "delivery", ["webhook", "created_at", "id"], unique=False)
    op.create_index("delivery_webhook_due", "delivery", ["webhook", "status", "due_at"], unique=False)
    op.create_table(
        "feature",
        Column("id", _TEXT, nullable=False),
        Column("etag", BigInteger(), nullable=False),
        Column("type", _TEXT, nullable=False),
        Column("status", _TEXT, nullable=False),
        Column("name", String(), nullable=False),
        Column("document", Text(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("updated_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_feature_status", "feature", ["status"], unique=False)
    op.create_index("ix_feature_type", "feature", ["type"], unique=False)
    op.create_table(
        "feature_tag",
        Column("tag", _TEXT, nullable=False),
        Column("feature", _TEXT, nullable=False),
        PrimaryKeyConstraint("tag", "feature"),
    )
    op.create_index("ix_feature_tag_feature", "feature_tag", ["feature"], unique=False)
    op.create_table(
        "feed",
        Column("position", BigInteger(), autoincrement=False, nullable=False),
        Column("at", BigInteger(), nullable=False),
        Column("customer", _TEXT, nullable=True),
        Column("publication", BigInteger(), nullable=True),
        Column("line", LargeBinary(), nullable=False),
        Column("digest", _TEXT, nullable=False),
        Column("chain", _TEXT, nullable=False),
        Column("redacted", Boolean(), nullable=False),
        PrimaryKeyConstraint("position"),
    )
    op.create_index("feed_customer_position", "feed", ["customer", "position"], unique=False)
    op.create_index("ix_feed_at", "feed", ["at"], unique=False)
    op.create_table(
        "feed_head",
        Column("key", Integer(), autoincrement=False, nullable=False),
        Column("position", BigInteger(), nullable=False),
        Column("chain", _TEXT, nullable=False),
        Column("floor", BigInteger(), nullable=False),
        Column("publication", BigInteger(), nullable=False),
        PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "held_item",
        Column("subscription", _TEXT, nullable=False),
        Column("place", Integer(), autoincrement=False, nullable=False),
        Column("item", _TEXT, nullable=False),
        Column("quantity", BigInteger(), nullable=False),
        Column("version", BigInteger(), nullable=True),
        Column("added_at", BigInteger(), nullable=True),
        Column("start", BigInteger(), nullable=False),
        Column("until", BigInteger(), nullable=False),
        PrimaryKeyConstraint("subscription", "place"),
    )
    op.create_index("held_item_item_version", "held_item", ["item", "version"], unique=False)
    op.create_table(
        "idempotency",
        Column("caller", _TEXT, nullable=False),
        Column("key", _TEXT, nullable=False),
        Column("request_sha256", _TEXT, nullable=False),
        Column("status", Integer(), nullable=False),
        Column("headers", Text(), nullable=False),
        Column("body", LargeBinary(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("caller", "key"),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "item",
        Column("id", _TEXT, nullable=False),
        Column("etag", BigInteger(), nullable=False),
        Column("kind", _TEXT, nullable=False),
        Column("name", String(), nullable=False),
        Column("document", Text(), nullable=False),
        Column("rollouts", Text(), nullable=False),
        Column("draft", Text(), nullable=True),
        Column("newest", BigInteger(), nullable=False),
        Column("private_to", _TEXT, nullable=True),
        Column("created_at", BigInteger(), nullable=False),
        Column("updated_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_item_kind", "item", ["kind"], unique=False)
    op.create_index("ix_item_private_to", "item", ["private_to"], unique=False)
    op.create_table(
        "item_tag",
        Column("tag", _TEXT, nullable=False),
        Column("item", _TEXT, nullable=False),
        PrimaryKeyConstraint("tag", "item"),
    )
    op.create_index("ix_item_tag_item", "item_tag", ["item"], unique=False)
    op.create_table(
        "item_version",
        Column("item", _TEXT, nullable=False),
        Column("version", BigInteger(), autoincrement=False, nullable=False),
        Column("entitlements", Text(), nullable=False),
        Column("publication", BigInteger(), nullable=False),
        Column("published_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("item", "version"),
    )
    op.create_table(
        "override",
        Column("holder_type", _TEXT, nullable=False),
        Column("holder", _TEXT, nullable=False),
        Column("id", _TEXT, nullable=False),
        Column("place", Integer(), nullable=False),
        Column("feature", _TEXT, nullable=False),
        Column("mode", _TEXT, nullable=False),
        Column("value", Text(), nullable=True),
        Column("start", BigInteger(), nullable=False),
        Column("until", BigInteger(), nullable=False),
        Column("author", _TEXT, nullable=False),
        Column("reason", Text(), nullable=False),
        PrimaryKeyConstraint("holder_type", "holder", "id"),
    )
    op.create_index("ix_override_feature", "override", ["feature"], unique=False)
    op.create_table(
        "policy_file",
        Column("kind", _TEXT, nullable=False),
        Column("name", _TEXT, nullable=False),
        Column("etag", BigInteger(), nullable=False),
        Column("text", Text(), nullable=False),
        Column("updated_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("kind", "name"),
    )
    op.create_table(
        "publication",
        Column("sequence", BigInteger(), autoincrement=False, nullable=False),
        Column("revision", _TEXT, nullable=False),
        Column("position", BigInteger(), nullable=False),
        Column("issued_at", BigInteger(), nullable=False),
        Column("envelope", LargeBinary(), nullable=False),
        Column("catalog", _TEXT, nullable=False),
        Column("rules", _TEXT, nullable=False),
        Column("roles", _TEXT, nullable=False),
        Column("rolled_back_to", BigInteger(), nullable=True),
        Column("author", _TEXT, nullable=False),
        Column("note", Text(), nullable=False),
        PrimaryKeyConstraint("sequence"),
    )
    op.create_index("ix_publication_issued_at", "publication", ["issued_at"], unique=False)
    op.create_index("ix_publication_revision", "publication", ["revision"], unique=False)
    op.create_table(
        "snapshot",
        Column("position", BigInteger(), autoincrement=False, nullable=False),
        Column("manifest", _TEXT, nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("position"),
    )
    op.create_table(
        "store",
        Column("key", Integer(), autoincrement=False, nullable=False),
        Column("id", _TEXT, nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("bootstrapped_at", BigInteger(), nullable=True),
        PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "subject_record",
        Column("customer", _TEXT, nullable=False),
        Column("position", BigInteger(), nullable=False),
        Column("record", LargeBinary(), nullable=False),
        PrimaryKeyConstraint("customer"),
    )
    op.create_table(
        "subscription",
        Column("id", _TEXT, nullable=False),
        Column("customer", _TEXT, nullable=False),
        Column("etag", BigInteger(), nullable=False),
        Column("status", _TEXT, nullable=False),
        Column("start", BigInteger(), nullable=True),
        Column("end", BigInteger(), nullable=True),
        Column("trial_end", BigInteger(), nullable=True),
        Column("grace_until", BigInteger(), nullable=True),
        Column("resume_at", BigInteger(), nullable=True),
        Column("created_at", BigInteger(), nullable=False),
        Column("updated_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_subscription_customer", "subscription", ["customer"], unique=False)
    op.create_index("ix_subscription_status", "subscription", ["status"], unique=False)
    op.create_table(
        "suspension",
        Column("holder_type", _TEXT, nullable=False),
        Column("holder", _TEXT, nullable=False),
        Column("place", Integer(), autoincrement=False, nullable=False),
        Column("feature", _TEXT, nullable=False),
        Column("start", BigInteger(), nullable=False),
        Column("until", BigInteger(), nullable=False),
        Column("reason", Text(), nullable=False),
        PrimaryKeyConstraint("holder_type", "holder", "place"),
    )
    op.create_index("ix_suspension_feature", "suspension", ["feature"], unique=False)
    op.create_table(
        "webhook",
        Column("id", _TEXT, nullable=False),
        Column("etag", BigInteger(), nullable=False),
        Column("url", Text(), nullable=False),
        Column("events", Text(), nullable=False),
        Column("secrets", Text(), nullable=False),
        Column("description", Text(), nullable=False),
        Column("enabled", Boolean(), nullable=False),
        Column("failing_since", BigInteger(), nullable=True),
        Column("created_at", BigInteger(), nullable=False),
        Column("updated_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    for statement in GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)


# The audit log is only ever added to. A person's data can be taken out of an entry, which then says so for ever.
GUARDS = {
    "sqlite": (
        """
        CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
        BEGIN
            SELECT RAISE(ABORT, 'the audit log is only ever added to');
        END
        """,
        """
        CREATE TRIGGER audit_is_unchanged BEFORE UPDATE ON audit
        WHEN NOT NEW.redacted OR NEW.id <> OLD.id OR NEW.at <> OLD.at OR NEW.actor_kind <> OLD.actor_kind
            OR NEW.action <> OLD.action OR NEW.kind <> OLD.kind
        BEGIN
            SELECT RAISE(ABORT, 'the audit log is only ever added to');
        END
        """,
    ),
    "postgresql": (
        """
        CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the audit log is only ever added to';
        END
        $$
        """,
        """
        CREATE TRIGGER audit_is_kept BEFORE DELETE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept()
        """,
        """
        CREATE TRIGGER audit_is_unchanged BEFORE UPDATE ON audit FOR EACH ROW
        WHEN (NOT NEW.redacted OR NEW.id <> OLD.id OR NEW.at <> OLD.at OR NEW.actor_kind <> OLD.actor_kind
            OR NEW.action <> OLD.action OR NEW.kind <> OLD.kind)
        EXECUTE FUNCTION audit_is_kept()
        """,
    ),
}
