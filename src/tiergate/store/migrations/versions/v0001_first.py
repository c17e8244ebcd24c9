"""The first schema."""

from __future__ import annotations

from alembic import op
from sqlmodel import SQLModel

import tiergate.store.tables  # noqa: F401 - fills the metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    SQLModel.metadata.create_all(op.get_bind())
