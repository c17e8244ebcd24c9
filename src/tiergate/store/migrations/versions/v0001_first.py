"""The first schema."""

from __future__ import annotations

from alembic import op
from sqlmodel import SQLModel

import tiergate.store.tables  # noqa: F401 - fills the metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    SQLModel.metadata.create_all(op.get_bind(), checkfirst=False)
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
