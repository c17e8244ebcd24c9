"""Names, metadata and external ids of customers and subscriptions, their terms, and the status of items."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    bindparam,
    select,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

revision = "0002"
down_revision = "0001"

_TEXT = String().with_variant(String(collation="C"), "postgresql")
_AT_ONCE = 5_000


def upgrade() -> None:
    """Add the columns and tables, and make the texts by which subjects are searched."""
    for table in ("customer", "subscription"):
        op.add_column(table, Column("metadata", Text(), nullable=False, server_default="{}"))
        op.add_column(table, Column("external_ids", Text(), nullable=False, server_default="{}"))
        op.add_column(table, Column("search", Text(), nullable=False, server_default=""))
    op.add_column("customer", Column("name", String(), nullable=False, server_default=""))
    op.add_column("subscription", Column("resumes_as", _TEXT, nullable=True))
    op.add_column("subscription", Column("term", Text(), nullable=True))
    op.add_column("item", Column("status", _TEXT, nullable=False, server_default="active"))
    op.create_table(
        "external_id",
        Column("kind", _TEXT, nullable=False),
        Column("system", _TEXT, nullable=False),
        Column("value", _TEXT, nullable=False),
        Column("holder", _TEXT, nullable=False),
        PrimaryKeyConstraint("kind", "system", "value"),
    )
    op.create_index("external_id_kind_holder", "external_id", ["kind", "holder"], unique=False)
    op.create_table(
        "tombstone",
        Column("kind", _TEXT, nullable=False),
        Column("id", _TEXT, nullable=False),
        Column("etag", BigInteger(), nullable=False),
        PrimaryKeyConstraint("kind", "id"),
    )
    connection = op.get_bind()
    metadata = MetaData()
    metadata.reflect(connection, only=["customer", "subscription"])
    _fill(connection, metadata.tables["customer"], ("tags", "attributes"))
    _fill(connection, metadata.tables["subscription"], ())


def _fill(connection: Connection, table: Table, parts: tuple[str, ...]) -> None:
    """Fill `search`, some rows at a time: what is searched for by its text is one line each."""
    columns = [table.c.id, *(table.c[part] for part in parts)]
    query = select(*columns).order_by(table.c.id).limit(_AT_ONCE)
    edit = update(table).where(table.c.id == bindparam("its")).values(search=bindparam("texts"))
    rows = connection.execute(query).all()
    while rows:
        connection.execute(edit, [{"its": row[0], "texts": _searched([row[0], *_texts(row[1:])])} for row in rows])
        rows = connection.execute(query.where(table.c.id > rows[-1][0])).all()


def _texts(parts: Iterable[str]) -> Iterable[str]:
    for part in parts:
        read = json.loads(part)
        yield from read.values() if isinstance(read, dict) else read


def _searched(texts: Iterable[str]) -> str:
    keys = (unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()) for text in texts if text)
    return "\n".join(dict.fromkeys(keys))
