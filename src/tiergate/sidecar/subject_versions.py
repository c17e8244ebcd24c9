"""Versions of subjects, so that a change of one subject invalidates only its own cached responses.

A version is a customer's or subscription's data between two changes. Code that makes a response gets the version
*before* it reads the data, and keeps it with the response. A change marks the version outdated, and with it every
response that depends on it. INVARIANT (no answer outlives its edition): one of an outdated version is never sent.

A subject has a version only while a response depends on it. Users share the version of their customer or subscription.

Below the version of a subject there are *usage versions*: its usage of one metered feature between two changes, or of
any feature. A response that also rests on usage keeps one of these instead. A change of the subject outdates them too;
a change of usage outdates nothing else of the subject. Not for several threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary

from tiergate.model import SubjectType

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiergate.model import Subject

_WEIGHT = 240
"""The approximate bytes of a version: itself, a weak reference, and its entry under the subject's id."""


ANY_FEATURE = ""
"""In place of a feature: the usage of every feature, for responses that rest on all of them."""


class SubjectVersion:
    """One subject's data between two changes; `is_outdated` once it has changed. Made by `SubjectVersions` only.

    `below`: its usage versions by feature. `subject`: of a usage version, the version that it is below.
    """

    __slots__ = ("__weakref__", "_weight", "below", "is_outdated", "subject")

    def __init__(self, subject: SubjectVersion | None = None) -> None:
        self.is_outdated = False
        self.subject = subject
        self.below: WeakValueDictionary[str, SubjectVersion] | None = None
        self._weight = _WEIGHT if subject is None else 3 * _WEIGHT

    def claim_weight(self) -> int:
        """Return the approximate bytes of this version to the first caller, and 0 to all others."""
        weight, self._weight = self._weight, 0
        return weight


NO_VERSION = SubjectVersion()
"""The version of a response that nobody may repeat: it is always outdated."""
NO_VERSION.is_outdated = True


class SubjectVersions:
    """The current version of every subject that a response depends on."""

    __slots__ = ("_customers", "_of_everybody", "_subscriptions")

    def __init__(self) -> None:
        self._customers: WeakValueDictionary[str, SubjectVersion] = WeakValueDictionary()
        self._subscriptions: WeakValueDictionary[str, SubjectVersion] = WeakValueDictionary()
        self._of_everybody: dict[str, WeakSet[SubjectVersion]] = {}

    def of(self, subject: Subject) -> SubjectVersion:
        """Return the current version of a subject, or of the one that its user is in."""
        present = self._customers if subject.type is SubjectType.CUSTOMER else self._subscriptions
        version = present.get(subject.id)
        if version is None:
            version = present[subject.id] = SubjectVersion()
        return version

    def of_usage(self, subject: Subject, feature: str, *, everybody: Collection[str] = ()) -> SubjectVersion:
        """Return the current usage version of a subject and a feature, or of `ANY_FEATURE`.

        `everybody`: the features whose use by everybody together it rests on.
        """
        above = self.of(subject)
        if above.below is None:
            above.below = WeakValueDictionary()
        version = above.below.get(feature)
        if version is None:
            version = above.below[feature] = SubjectVersion(above)
        for name in everybody:
            self._of_everybody.setdefault(name, WeakSet()).add(version)
        return version

    def outdate_usage(self, customer: str, subscriptions: Collection[str], features: Collection[str]) -> None:
        """Mark the usage versions of a customer and of subscriptions outdated, those of features and of any feature."""
        versions = [self._customers.get(customer)]
        if subscriptions:
            versions += map(self._subscriptions.get, subscriptions)
        for version in versions:
            if version is not None and version.below:
                for feature in (*features, ANY_FEATURE):
                    _outdate(version.below, feature)

    def outdate_usage_of_everybody(self, feature: str) -> None:
        """Mark every usage version outdated that rests on the use of a feature by everybody together."""
        for version in self._of_everybody.pop(feature, ()):
            version.is_outdated = True
            above = version.subject
            if above is not None and above.below:
                for name in [name for name, below in above.below.items() if below is version]:
                    del above.below[name]

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
        if version.below:
            for below in list(version.below.values()):
                below.is_outdated = True
            version.below.clear()
