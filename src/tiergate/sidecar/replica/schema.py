"""The layout of a replica that follows a feed: its tables, and what stands in `meta`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.bundle import Cursor
from tiergate.errors import ReplicaError

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

FORMAT: Final = 1
"""The layout of the file; another one is not read."""

FLOOR_KEY: Final = "floor"
"""The key in `meta` of the cursor that the file must pass before it is put in force; not all files have it."""

QUARANTINED_TABLE: Final = "CREATE TABLE quarantined (customer TEXT PRIMARY KEY, detail TEXT NOT NULL) WITHOUT ROWID"
"""The table that files of earlier versions do not have."""

_SCHEMA: Final = (
    "CREATE TABLE customers (id TEXT PRIMARY KEY, record BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE subscriptions (id TEXT PRIMARY KEY, customer TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, content BLOB NOT NULL)",
    "CREATE TABLE manifests (revision TEXT PRIMARY KEY, content BLOB NOT NULL)",
    QUARANTINED_TABLE,
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
)

_decode_cursor = msgspec.msgpack.Decoder(Cursor).decode


class ReplicaState(msgspec.Struct, frozen=True):
    """What stands in `meta`: `publication` and `head` are envelopes, empty for none. `whole`: all subjects are held."""

    store: str
    whole: bool
    cursor: Cursor
    publication: bytes
    head: bytes
    customers: int
    subscriptions: int


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file."""
    for statement in _SCHEMA:
        connection.execute(statement)


def write_state(connection: sqlite3.Connection, kept: ReplicaState, before: ReplicaState | None = None) -> None:
    """Write what differs from what stands there."""
    rows: list[tuple[str, object]] = (
        [] if before is not None else [("format", FORMAT), ("store", kept.store), ("whole", kept.whole)]
    )
    if before is None or kept.cursor != before.cursor:
        rows.append(("cursor", msgspec.msgpack.encode(kept.cursor)))
    for key in ("publication", "head", "customers", "subscriptions"):
        value = getattr(kept, key)
        if before is None or value != getattr(before, key):
            rows.append((key, value))
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)


def read_state(connection: sqlite3.Connection, path: Path) -> ReplicaState:
    """Read it.

    Raises:
        ReplicaError: the file is not finished, or of another layout.
        sqlite3.Error: it cannot be read.
    """
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if meta.get("format") != FORMAT:
        raise ReplicaError(f"replica `{path}` has format `{meta.get('format')}`, not `{FORMAT}`")
    try:
        return ReplicaState(
            store=meta["store"],
            whole=bool(meta["whole"]),
            cursor=_decode_cursor(meta["cursor"]),
            publication=meta["publication"],
            head=meta["head"],
            customers=meta["customers"],
            subscriptions=meta["subscriptions"],
        )
    except (KeyError, TypeError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ReplicaError(f"replica `{path}` is torn: {error!r}") from None


def read_floor(connection: sqlite3.Connection) -> Cursor | None:
    """The cursor that the file had to pass, or still has to, before it is put in force; none where none is known.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (FLOOR_KEY,)).fetchone()
    try:
        return None if row is None else _decode_cursor(row[0])
    except (TypeError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
