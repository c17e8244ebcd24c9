"""The layout of a replica's SQLite file, in file mode and in sync: its tables, and the rows of `meta`.

    customers      id -> its record (`record_encoding`), and the CRC-32 of that
    subscriptions  id -> the id of its customer
    blobs          SHA-256 -> a file of a bundle; sync only
    manifests      revision -> the manifest of a bundle; sync only
    feature_status feature -> the reports on its status, as JSON (`feed.status_reports`); sync only
    quarantined    customer -> why its newest record cannot be used; an earlier one is stored, or none
    meta           the format and counts; in sync also the `ReplicaState`, and the rollback floor

Files of earlier versions are read as they are: those of file mode have no checksums, blobs and manifests, those of sync
perhaps no `quarantined` and no `feature_status`. Earlier versions ignore reports on statuses when they follow the feed
with a file of this version: the stored cursor records that.

Reading raises `sqlite3.Error`, and `ReplicaError` if the file is not finished or of another format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.bundle import Cursor
from tiergate.errors import ReplicaError
from tiergate.feed.status_reports import encode_reports

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from tiergate.feed.lines import StatusChange
    from tiergate.model import FeatureReports

FORMAT: Final = 1
"""The format of the file; files of other formats are rejected."""

QUARANTINED_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS quarantined (customer TEXT PRIMARY KEY, detail TEXT NOT NULL) WITHOUT ROWID"
)

STATUS_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS feature_status (feature TEXT PRIMARY KEY, reports BLOB NOT NULL) WITHOUT ROWID"
)

_FLOOR: Final = "floor"
_SCHEMA: Final = (
    "CREATE TABLE customers (id TEXT PRIMARY KEY, record BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE subscriptions (id TEXT PRIMARY KEY, customer TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE blobs (sha256 TEXT PRIMARY KEY, content BLOB NOT NULL)",
    "CREATE TABLE manifests (revision TEXT PRIMARY KEY, content BLOB NOT NULL)",
    QUARANTINED_TABLE,
    STATUS_TABLE,
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
)


class _StoredCursor(Cursor, frozen=True):
    """A cursor as the file has it; versions that ignore reports on statuses write it without `has_statuses`."""

    has_statuses: bool = False


_decode_cursor = msgspec.msgpack.Decoder(Cursor).decode
_decode_stored_cursor = msgspec.msgpack.Decoder(_StoredCursor).decode


class ReplicaState(msgspec.Struct, frozen=True):
    """The state of a followed replica.

    `publication` and `head` are envelopes, empty for none. `whole`: it has all subjects, not only those on demand.
    `has_statuses`: it has all reports on the status of features; else an earlier version followed the feed with it.
    """

    store: str
    whole: bool
    cursor: Cursor
    publication: bytes
    head: bytes
    customers: int
    subscriptions: int
    has_statuses: bool = True


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables in an empty file."""
    for statement in _SCHEMA:
        connection.execute(statement)


def check_format(connection: sqlite3.Connection, path: Path) -> dict[str, object]:
    """Return the rows of `meta`."""
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if meta.get("format") != FORMAT:
        raise ReplicaError(f"replica `{path}` has format `{meta.get('format')}`, not `{FORMAT}`")
    return meta


def write_counts(connection: sqlite3.Connection, customers: int, subscriptions: int) -> None:
    """Write the format and the counts."""
    rows = (("format", FORMAT), ("customers", customers), ("subscriptions", subscriptions))
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)


def write_state(connection: sqlite3.Connection, state: ReplicaState, before: ReplicaState | None = None) -> None:
    """Write the parts of a state that differ from the state `before`."""
    rows: list[tuple[str, object]] = (
        [] if before is not None else [("format", FORMAT), ("store", state.store), ("whole", state.whole)]
    )
    if before is None or state.cursor != before.cursor:
        cursor = _StoredCursor(**msgspec.structs.asdict(state.cursor), has_statuses=state.has_statuses)
        rows.append(("cursor", msgspec.msgpack.encode(cursor)))
    for key in ("publication", "head", "customers", "subscriptions"):
        value = getattr(state, key)
        if before is None or value != getattr(before, key):
            rows.append((key, value))
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)


def read_state(connection: sqlite3.Connection, path: Path) -> ReplicaState:
    """Read the state of a followed replica."""
    meta = check_format(connection, path)
    try:
        fields = {name: meta[name] for name in ReplicaState.__struct_fields__ if name != "has_statuses"}
        stored = _decode_stored_cursor(fields["cursor"])  # type: ignore[arg-type]
        cursor = _decode_cursor(fields["cursor"])  # type: ignore[arg-type]
        fields |= {"whole": bool(fields["whole"]), "cursor": cursor, "has_statuses": stored.has_statuses}
        return msgspec.convert(fields, ReplicaState)
    except (KeyError, TypeError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ReplicaError(f"replica `{path}` is damaged: {error!r}") from None


def write_reports(connection: sqlite3.Connection, features: Iterable[FeatureReports | StatusChange]) -> None:
    """Write the reports on the status of features in place of the earlier ones of each."""
    for entry in features:
        if entry.reports:
            row = (entry.feature, encode_reports(entry.reports))
            connection.execute("INSERT OR REPLACE INTO feature_status VALUES (?, ?)", row)
        else:
            connection.execute("DELETE FROM feature_status WHERE feature = ?", (entry.feature,))


def write_floor(connection: sqlite3.Connection, floor: Cursor) -> None:
    """Write the cursor that the file must reach before it becomes active."""
    connection.execute("INSERT INTO meta VALUES (?, ?)", (_FLOOR, msgspec.msgpack.encode(floor)))


def read_floor(connection: sqlite3.Connection) -> Cursor | None:
    """Return the cursor that the file must, or had to, reach before it becomes active; none if none is recorded."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_FLOOR,)).fetchone()
    try:
        return None if row is None else _decode_cursor(row[0])
    except (TypeError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
