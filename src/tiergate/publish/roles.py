"""The table of roles that is in force: that of the publication in force, the shipped one until another is published."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tiergate.cedar import builtin_text
from tiergate.store.publications import published_policies

if TYPE_CHECKING:
    from tiergate.store import ReadUnit, Store

__all__ = ["RolesInForce"]


class RolesInForce:
    """Tells the text of the table in force, and reads it from the store only after a publication."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._sequence = 0
        self._text = builtin_text("roles")

    def text(self) -> str:
        """The table in force.

        Raises:
            StoreError: the store cannot be used.
        """
        return self._store.read(self._read)

    def _read(self, unit: ReadUnit) -> str:
        sequence = unit.head().publication
        with self._lock:
            if sequence == self._sequence:
                return self._text
        text = published_policies(unit, sequence)[1] or builtin_text("roles")
        with self._lock:
            self._sequence, self._text = sequence, text
        return text
