"""What the store has counted of subjects, for previews: what each used of metered features in its windows now.

Usage is exact as of the last report of each sidecar. It is read for many customers at once, and only if it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.impact.preview.preview import KnownUsage
from tiergate.model import SubjectType, from_units
from tiergate.store.usage_reads import current_windows
from tiergate.usage.accounts import Scope

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlmodel import Session

    from tiergate.model import CatalogIndex, Instant, Subject
    from tiergate.store.usage_reads import UsedWindow

_TYPES = {Scope.CUSTOMER: SubjectType.CUSTOMER, Scope.SUBSCRIPTION: SubjectType.SUBSCRIPTION}


class _Key(NamedTuple):
    type: SubjectType
    id: str
    feature: str


class StoredUsage:
    """The usage in one store, of the features that are metered in the published catalog. Belongs to one session."""

    def __init__(self, session: Session, index: CatalogIndex, features: Collection[str], now: Instant) -> None:
        """Read nothing yet. `features`: those whose usage may be asked for."""
        self._session, self._now = session, now
        self._scales = {
            id_: feature.scale
            for id_ in sorted(features)
            if (feature := index.features.get(id_)) is not None and feature.metered is not None
        }
        self._customers: Collection[str] = ()
        self._found: dict[_Key, UsedWindow] | None = None

    def choose(self, customers: Collection[str]) -> None:
        """Answer for these customers and their subscriptions from now on; at most some thousands."""
        self._customers, self._found = customers, None

    def known(self, subject: Subject, feature: str, at: Instant) -> KnownUsage | None:
        """Return the usage in the window of now, if the instant is in it; `None` if the feature is not metered.

        Who has used nothing yet has no window, and 0.
        """
        scale = self._scales.get(feature)
        if scale is None:
            return None
        if self._found is None:
            self._found = self._read()
        used = self._found.get(_Key(subject.type, subject.id, feature))
        if used is None:
            return KnownUsage(0)
        if at >= used.window.until:
            return None
        granted = 0 if used.limit is None or used.allowance is None else used.limit - used.allowance
        return KnownUsage(from_units(max(0, used.booked), scale), from_units(granted, scale))

    def _read(self) -> dict[_Key, UsedWindow]:
        found: dict[_Key, UsedWindow] = {}
        for used in current_windows(self._session, self._customers, self._scales, self._now):
            account = used.account
            if account.scope in _TYPES:
                id_ = account.customer if account.scope is Scope.CUSTOMER else account.member
                found[_Key(_TYPES[account.scope], id_, account.feature)] = used
        return found
