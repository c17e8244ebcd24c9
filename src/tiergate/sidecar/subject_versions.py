"""Versions of subjects, so that a change of one subject invalidates only its own cached responses.

A version is a customer's or subscription's data between two changes. Code that makes a response gets the version
*before* it reads the data, and keeps it with the response. A change marks the version outdated, and with it every
response that depends on it. INVARIANT (no answer outlives its edition): one of an outdated version is never sent.

A subject has a version only while a response depends on it. Users share the version of their customer or subscription.
Not for several threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from tiergate.model import SubjectType

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.model import Subject

_WEIGHT = 240
"""The approximate bytes of a version: itself, a weak reference, and its entry under the subject's id."""


class SubjectVersion:
    """One subject's data between two changes; `is_outdated` once it has changed. Made by `SubjectVersions` only."""

    __slots__ = ("__weakref__", "_weight", "is_outdated")

    def __init__(self) -> None:
        self.is_outdated = False
        self._weight = _WEIGHT

    def claim_weight(self) -> int:
        """Return the approximate bytes of this version to the first caller, and 0 to all others."""
        weight, self._weight = self._weight, 0
        return weight


NO_VERSION = SubjectVersion()
"""The version of a response that nobody may repeat: it is always outdated."""
NO_VERSION.is_outdated = True


class SubjectVersions:
    """The current version of every subject that a response depends on."""

    __slots__ = ("_customers", "_subscriptions")

    def __init__(self) -> None:
        self._customers: WeakValueDictionary[str, SubjectVersion] = WeakValueDictionary()
        self._subscriptions: WeakValueDictionary[str, SubjectVersion] = WeakValueDictionary()

    def of(self, subject: Subject) -> SubjectVersion:
        """Return the current version of a subject, or of the one that its user is in."""
        present = self._customers if subject.type is SubjectType.CUSTOMER else self._subscriptions
        version = present.get(subject.id)
        if version is None:
            version = present[subject.id] = SubjectVersion()
        return version

    def outdate(self, customer: str, subscriptions: Collection[str]) -> None:
        """Mark the versions of a customer and of subscriptions outdated."""
        _outdate(self._customers, customer)
        for subscription in subscriptions:
            _outdate(self._subscriptions, subscription)

    def __len__(self) -> int:
        return len(self._customers) + len(self._subscriptions)


def _outdate(present: WeakValueDictionary[str, SubjectVersion], name: str) -> None:
    version = present.pop(name, None)
    if version is not None:
        version.is_outdated = True
