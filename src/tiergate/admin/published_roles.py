"""The role policies of the active publication, cached; the shipped ones until the first publication.

INVARIANT (errors close): role policies that cannot be read, as after a downgrade, allow nothing to anybody.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import cachetools

from tiergate.errors import RulesError, StoreError
from tiergate.permissions import RolePolicies, shipped_roles
from tiergate.store.publications import publication

if TYPE_CHECKING:
    from tiergate.store import ReadUnit, Store

_CACHED: Final = 4


class PublishedRoles:
    """Reads the active role policies of a store. Safe to use from several threads.

    Methods raise `StoreError` if the store cannot be read, or this release cannot read the policies.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shipped = shipped_roles()
        self._by_blob: cachetools.LRUCache[str, RolePolicies] = cachetools.LRUCache(_CACHED)
        self._by_sequence: cachetools.LRUCache[int, RolePolicies] = cachetools.LRUCache(_CACHED)
        self._lock = threading.Lock()

    def __call__(self) -> RolePolicies:
        """Return the active role policies."""
        return self._store.read(self.read)

    def read(self, unit: ReadUnit) -> RolePolicies:
        """Return the active role policies, as a transaction sees them."""
        sequence = unit.head().publication
        if not sequence:
            return self._shipped
        with self._lock:
            policies = self._by_sequence.get(sequence)  # a publication never changes
        if policies is None:
            policies = self._parse(unit, publication(unit.session, sequence).roles)
            with self._lock:
                self._by_sequence[sequence] = policies
        return policies

    def _parse(self, unit: ReadUnit, blob: str) -> RolePolicies:
        if not blob:
            return self._shipped
        with self._lock:
            policies = self._by_blob.get(blob)
        if policies is None:
            text = unit.blob(blob).decode()
            try:
                policies = RolePolicies.parse(text) if text else self._shipped
            except RulesError as error:
                raise StoreError(f"cannot read the active role policies: {error}") from error
            with self._lock:
                self._by_blob[blob] = policies
        return policies
