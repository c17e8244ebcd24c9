"""Editions of subjects: what every remembered answer rests on, so that a change of one subject forgets only its own.

An edition is a customer's or subscription's data between two changes. Whoever makes an answer takes the subject's
edition *before* looking at the data and keeps it with the answer; when the data changes, the edition is marked
outdated, and with it, at once and however many there are, every answer that rests on it. The next answer takes a new
edition. INVARIANT (no answer outlives its edition): an answer whose edition is outdated is never given.

A subject has an edition only while an answer rests on it, whether the subject exists or not: nobody's answers are
forgotten when it is created. Users share the edition of the customer or subscription that they are in.

It knows nothing of engines or memos, and it is for one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from tiergate.model import SubjectType

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.model import Subject

_WEIGHT = 240
"""About what an edition keeps in memory, in bytes: itself, a weak reference, and its place under the subject's id."""


class SubjectVersion:
    """One subject's data between two changes; `is_outdated` once it has changed. Made by `SubjectVersions` only."""

    __slots__ = ("__weakref__", "_weight", "is_outdated")

    def __init__(self) -> None:
        self.is_outdated = False
        self._weight = _WEIGHT

    def claim_weight(self) -> int:
        """About how many bytes it keeps in memory, for the first who asks; nothing for those who come after."""
        weight, self._weight = self._weight, 0
        return weight


class SubjectVersions:
    """The present edition of every subject that something rests on."""

    __slots__ = ("_customers", "_subscriptions")

    def __init__(self) -> None:
        self._customers: WeakValueDictionary[str, SubjectVersion] = WeakValueDictionary()
        self._subscriptions: WeakValueDictionary[str, SubjectVersion] = WeakValueDictionary()

    def of(self, subject: Subject) -> SubjectVersion:
        """The present edition of a subject, or of whom its user is in. It lasts as long as somebody keeps it."""
        present = self._customers if subject.type is SubjectType.CUSTOMER else self._subscriptions
        edition = present.get(subject.id)
        if edition is None:
            edition = present[subject.id] = SubjectVersion()
        return edition

    def outdate(self, customer: str, subscriptions: Collection[str]) -> None:
        """Mark the editions of a customer and of subscriptions outdated."""
        _outdate(self._customers, customer)
        for subscription in subscriptions:
            _outdate(self._subscriptions, subscription)

    def __len__(self) -> int:
        return len(self._customers) + len(self._subscriptions)


def _outdate(present: WeakValueDictionary[str, SubjectVersion], name: str) -> None:
    edition = present.pop(name, None)
    if edition is not None:
        edition.is_outdated = True
