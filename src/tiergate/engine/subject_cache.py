"""Subjects as checks need them: the record, and the items that are active within a window of time. Cached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.cedar import Uid
from tiergate.engine.active_items import ActiveItems, resolve_active_items, usual_versions
from tiergate.engine.bounded_cache import BoundedCache, CacheLimits
from tiergate.engine.cedar_entities import lean_principal, principal_entities, principal_uid
from tiergate.engine.sources import ListedSubjects
from tiergate.model import Subject, SubjectRecord

if TYPE_CHECKING:
    from tiergate.engine.sources import SubjectSource
    from tiergate.model import CatalogIndex, Instant, SubjectType

_WRITTEN_BYTES = 150
"""The principal as entities, for each item version and for itself."""


def without_user(subject: Subject) -> Subject:
    """Return the customer or subscription that a user is in; any other subject itself."""
    return subject if subject.user is None else Subject(subject.id, subject.type)


class ActiveSubject(msgspec.Struct, eq=False, gc=False):
    """A customer or subscription: its record, and its active items within their window.

    `serial` differs for each resolution: a cached decision is valid only for the one that it was made on.
    """

    serial: int
    record: SubjectRecord
    uid: Uid
    items: ActiveItems
    lean: str | None = None
    full: str | None = None

    def principal(self, subject: Subject) -> Uid:
        """Return the principal of a check about this subject or about a user in it."""
        return self.uid if subject.user is None else principal_uid(subject)

    def entities(self, subject: Subject, *, full: bool) -> str:
        """Return the principal as entities, `full` where rules can read all of it. Cached except for users."""
        if subject.user is None:
            if not full:
                if self.lean is None:
                    self.lean = lean_principal(subject, self.items.refs)
                return self.lean
            if self.full is None:
                self.full = principal_entities(subject, self.items.customer, self.items.refs)
            return self.full
        if not full:
            return lean_principal(subject, self.items.refs)
        return principal_entities(subject, self.items.customer, self.items.refs)


class SubjectCache:
    """Finds subjects in a source and resolves their active items by a catalog."""

    def __init__(self, source: SubjectSource, index: CatalogIndex, limits: CacheLimits) -> None:
        self.cache: BoundedCache[Subject, ActiveSubject] = BoundedCache(limits.subjects, limits.subject_bytes)
        self._source = source
        self._index = index
        self._usual = usual_versions(index)
        self._serial = 0

    def find(self, subject: Subject, now: Instant) -> ActiveSubject | None:
        """Return a subject, or the one that its user is in, as of `now`; `None` if it is unknown.

        Raises `OperatorError` or `msgspec.MsgspecError` if its record cannot be read.
        """
        subject = without_user(subject)
        cached = self.cache.get(subject)
        if cached is not None:
            if cached.items.start <= now < cached.items.until:
                return cached
            record: SubjectRecord | None = cached.record
        else:
            record = self._source.find(subject)
        if record is None:
            return None
        items = resolve_active_items(record, subject, self._index, now, self._usual)
        self._serial += 1
        resolved = ActiveSubject(self._serial, record, principal_uid(subject), items)
        if self.cache.admits(subject):
            self.cache.put(subject, resolved, _size(record) + _WRITTEN_BYTES * (1 + len(items.refs)))
        return resolved

    def record_of(self, subject: Subject) -> SubjectRecord | None:
        """Return the record that decisions about a subject use; `None` if it is unknown."""
        subject = without_user(subject)
        cached = self.cache.get(subject)
        return self._source.find(subject) if cached is None else cached.record

    def list_ids(self, kind: SubjectType, after: str, most: int) -> list[str] | None:
        """Return the ids of subjects that follow `after`, at most so many; `None` if the source cannot list them."""
        return self._source.list_ids(kind, after, most) if isinstance(self._source, ListedSubjects) else None

    def forget(self, subject: Subject) -> None:
        """Forget a subject and its users."""
        self.cache.drop(without_user(subject))


def _size(record: SubjectRecord) -> int:
    """Estimate the bytes of a record and what is cached with it, as measured."""
    customer = record.customer
    parts = (
        len(customer.tags) + 2 * len(customer.attributes) + 6 * (len(customer.overrides) + len(customer.suspensions))
    )
    for subscription in record.subscriptions:
        parts += 6 + 3 * len(subscription.items) + 6 * (len(subscription.overrides) + len(subscription.suspensions))
    return 700 + 70 * parts
