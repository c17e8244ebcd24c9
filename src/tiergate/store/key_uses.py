"""The last uses of keys: recorded behind the requests, at most once a minute for each key.

A request never waits for this: a long transaction of another writer delays no reader. If a write fails, the next use
tries again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import cachetools
from sqlalchemy import bindparam, or_, update
from sqlalchemy.exc import DBAPIError

from tiergate.errors import StoreError
from tiergate.store.tables import KEYS

if TYPE_CHECKING:
    from tiergate.model import Instant
    from tiergate.store.keys import ApiKey
    from tiergate.store.transactions import Store

NOTED_EVERY: Final = 60_000
"""Milliseconds in which the use of a key is recorded once."""

_MAX_REMEMBERED: Final = 100_000


class KeyUses:
    """Records the uses of one store's keys. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._noted: cachetools.LRUCache[str, Instant] = cachetools.LRUCache(_MAX_REMEMBERED)
        self._due: dict[str, Instant] = {}
        self._writer: threading.Thread | None = None

    def note(self, key: ApiKey) -> None:
        """Record, in the background, that a key is used now."""
        now = self._store.clock()
        with self._lock:
            last = max(self._noted.get(key.id, 0), key.last_used_at or 0)
            if now < last + NOTED_EVERY:
                return
            self._noted[key.id] = self._due[key.id] = now
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, name="uses of keys", daemon=True)
                self._writer.start()

    def wait(self) -> None:
        """Wait until all uses are recorded, or have failed."""
        writer = self._writer
        if writer is not None:
            writer.join()

    def _write_all(self) -> None:
        while True:
            with self._lock:
                due, self._due = self._due, {}
                if not due:
                    self._writer = None
                    return
            try:
                self._write(due)
            except (StoreError, DBAPIError):
                with self._lock:
                    for id_ in due:
                        self._noted.pop(id_, None)

    def _write(self, due: dict[str, Instant]) -> None:
        last = KEYS.c.last_used_at
        earlier = or_(last.is_(None), last <= bindparam("used_at") - NOTED_EVERY)
        query = update(KEYS).where(KEYS.c.id == bindparam("key_id"), earlier).values(last_used_at=bindparam("used_at"))
        with self._store.database.writing() as session:
            rows = [{"key_id": id_, "used_at": at} for id_, at in sorted(due.items())]
            session.connection().execute(query, rows)
            session.commit()
