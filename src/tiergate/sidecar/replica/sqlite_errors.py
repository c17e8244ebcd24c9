"""Interpreting errors of SQLite: the file is damaged, or it cannot be read now."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from tiergate.errors import ReplicaError, UnreadableReplicaError

if TYPE_CHECKING:
    from pathlib import Path

_TRANSIENT: Final = {
    sqlite3.SQLITE_NOMEM: "not enough memory",
    sqlite3.SQLITE_BUSY: "the file is locked",
    sqlite3.SQLITE_LOCKED: "the file is locked",
    sqlite3.SQLITE_INTERRUPT: "interrupted",
    sqlite3.SQLITE_CANTOPEN: "a file cannot be opened",
}
_PERMANENT: Final = {
    sqlite3.SQLITE_IOERR: "input/output error",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_AUTH: "permission denied",
    sqlite3.SQLITE_READONLY: "the file is read-only",
    sqlite3.SQLITE_FULL: "no space left",
}
_DAMAGED: Final = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})
"""Read errors which mean that the file ends early, or is damaged."""


def unreadable_reason(error: sqlite3.Error) -> tuple[str, bool] | None:
    """Return why a file cannot be read now, and whether that passes by itself; none if the file is damaged."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _DAMAGED:
        return None
    kind = code & 0xFF
    if kind in _TRANSIENT:
        return _TRANSIENT[kind], True
    return (_PERMANENT[kind], False) if kind in _PERMANENT else None


def replica_error(path: Path, error: Exception) -> ReplicaError:
    """Return the error of a failed read: `UnreadableReplicaError` if the cause is not the file."""
    reason = unreadable_reason(error) if isinstance(error, sqlite3.Error) else None
    if reason is None:
        return ReplicaError(f"replica `{path}` cannot be read: {error}")
    return UnreadableReplicaError(str(path), reason[0], transient=reason[1])
