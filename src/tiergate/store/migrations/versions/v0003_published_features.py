"""The types of all features that were ever published, taken from the publications."""

from __future__ import annotations

import json

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    select,
)

revision = "0003"
down_revision = "0002"

_TEXT = String().with_variant(String(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table and fill it. Where an id had several types, the one that was published last stays."""
    op.create_table(
        "published_feature",
        Column("id", _TEXT, nullable=False),
        Column("type", _TEXT, nullable=False),
        PrimaryKeyConstraint("id"),
    )
    tables = MetaData()
    publications = Table("publication", tables, Column("sequence", BigInteger()), Column("catalog", _TEXT))
    blobs = Table("blob", tables, Column("sha256", _TEXT), Column("content", LargeBinary()))
    features = Table("published_feature", tables, Column("id", _TEXT), Column("type", _TEXT))
    connection = op.get_bind()
    types: dict[str, str] = {}
    last: dict[str, int] = {}
    for sequence, catalog in connection.execute(select(publications.c.sequence, publications.c.catalog)):
        last[catalog] = max(sequence, last.get(catalog, 0))
    for catalog in sorted(last, key=lambda sha256: last[sha256]):
        content = connection.execute(select(blobs.c.content).where(blobs.c.sha256 == catalog)).scalar_one_or_none()
        if content is not None:
            published = json.loads(bytes(content))["features"]
            types |= {id_: feature["type"] for id_, feature in published.items()}
    if types:
        connection.execute(insert(features), [{"id": id_, "type": type_} for id_, type_ in sorted(types.items())])
