"""Search without regard to accents and spacing, in metadata too: the texts by which subjects are searched, anew."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING

from alembic import op
from sqlalchemy import MetaData, Table, bindparam, select, update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

revision = "0008"
down_revision = "0007"

_AT_ONCE = 5_000
_PLAIN = str.maketrans(
    {"\xe6": "ae", "\u0153": "oe", "\xf8": "o", "\u0111": "d", "\xf0": "d", "\u0142": "l", "\u0127": "h"}
    | {"\u0167": "t", "\xfe": "th", "\u0131": "i"}
)


def upgrade() -> None:
    """Make the texts by which subjects are searched."""
    connection = op.get_bind()
    metadata = MetaData()
    metadata.reflect(connection, only=["customer", "subscription"])
    _fill(connection, metadata.tables["customer"], ("name", "external_ids", "tags", "attributes", "metadata"))
    _fill(connection, metadata.tables["subscription"], ("external_ids", "metadata"))


def _fill(connection: Connection, table: Table, parts: tuple[str, ...]) -> None:
    """Fill `search`, some rows at a time: what is searched for by its text is one line each."""
    columns = [table.c.id, *(table.c[part] for part in parts)]
    query = select(*columns).order_by(table.c.id).limit(_AT_ONCE)
    edit = update(table).where(table.c.id == bindparam("its")).values(search=bindparam("texts"))
    rows = connection.execute(query).all()
    while rows:
        connection.execute(edit, [{"its": row[0], "texts": _searched(_texts(row._asdict()))} for row in rows])
        rows = connection.execute(query.where(table.c.id > rows[-1][0])).all()


def _texts(row: dict[str, str]) -> Iterable[str]:
    for name, value in row.items():
        if name in {"id", "name"}:
            yield value
        else:
            read = json.loads(value)
            yield from read.values() if isinstance(read, dict) else read


def _searched(texts: Iterable[str]) -> str:
    return "\n".join(dict.fromkeys(_key(text) for text in texts if text))


def _key(text: str) -> str:
    """Return the key as this version makes it (`text_normalization.search_key`)."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_PLAIN)
    kept: list[str] = []
    base = ""
    for character in unicodedata.normalize("NFD", folded):
        category = unicodedata.category(character)
        if category != "Mn":
            base = character
        elif base < "\u0700" or "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef":
            continue
        if category != "Cf":
            kept.append(character)
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())
