"""What an error of SQLite says about a replica: that the file is torn, or that it cannot be read now."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from tiergate.errors import ReplicaError, UnreadableReplicaError

if TYPE_CHECKING:
    from pathlib import Path

_PASSING: Final = {
    sqlite3.SQLITE_NOMEM: "not enough memory",
    sqlite3.SQLITE_BUSY: "the file is locked",
    sqlite3.SQLITE_LOCKED: "the file is locked",
    sqlite3.SQLITE_INTERRUPT: "interrupted",
    sqlite3.SQLITE_CANTOPEN: "a file cannot be opened",
}
_LASTING: Final = {
    sqlite3.SQLITE_IOERR: "input/output error",
    sqlite3.SQLITE_PERM: "permission denied",
    sqlite3.SQLITE_AUTH: "permission denied",
    sqlite3.SQLITE_READONLY: "the file is read-only",
    sqlite3.SQLITE_FULL: "no space left",
}
_TORN: Final = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})
"""Errors of reading that say that the file ends early, or is damaged."""


def unreadable_reason(error: sqlite3.Error) -> tuple[str, bool] | None:
    """Why something cannot be read now, and whether that passes by itself; none where it is torn."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _TORN:
        return None
    kind = code & 0xFF
    if kind in _PASSING:
        return _PASSING[kind], True
    return (_LASTING[kind], False) if kind in _LASTING else None


def replica_error(path: Path, error: Exception) -> ReplicaError:
    """The error to raise where reading a replica fails. `UnreadableReplicaError` where the machine is at fault."""
    reason = unreadable_reason(error) if isinstance(error, sqlite3.Error) else None
    if reason is None:
        return ReplicaError(f"replica `{path}` cannot be read: {error}")
    return UnreadableReplicaError(str(path), reason[0], transient=reason[1])
