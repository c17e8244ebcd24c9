"""An override inside a customer's record: the record without it, and the override that prevents its effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from tiergate.impact.subject_change.change_effects import ever_differs
from tiergate.model import Subject, SubjectType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.model import Customer, Instant, Override, SubjectRecord, Subscription


class OverrideLocation(NamedTuple):
    """An override of a subscription with the id `owner`, or of the customer for `None`."""

    owner: str | None
    override: Override

    def subject(self, record: SubjectRecord) -> Subject:
        """Return the subject that has the override."""
        if self.owner is None:
            return Subject(record.customer.id)
        return Subject(self.owner, SubjectType.SUBSCRIPTION)

    def without(self, record: SubjectRecord) -> SubjectRecord:
        """Return the record without the override."""
        return self.keep(record, lambda override: override.id != self.override.id)

    def keep(self, record: SubjectRecord, is_kept: Callable[[Override], bool]) -> SubjectRecord:
        """Return the record with only the kept overrides of the owner."""

        def kept(holder: Customer | Subscription) -> tuple[Override, ...]:
            return tuple(override for override in holder.overrides if is_kept(override))

        if self.owner is None:
            return replace(record, customer=replace(record.customer, overrides=kept(record.customer)))
        subscriptions = (
            replace(subscription, overrides=kept(subscription)) if subscription.id == self.owner else subscription
            for subscription in record.subscriptions
        )
        return replace(record, subscriptions=tuple(subscriptions))

    def find_blocker(self, record: SubjectRecord, source: CatalogDefinitions, now: Instant) -> OverrideLocation | None:
        """Return the override without which this one would have an effect from `now` on."""
        for other in self._others(record):
            rest = other.without(record)
            if ever_differs(self.without(rest), rest, self.override.feature, source, now):
                return other
        return None

    def _others(self, record: SubjectRecord) -> Iterator[OverrideLocation]:
        """Yield the other overrides of the feature: of the same subject, then of its customer."""
        holders: list[tuple[str | None, Customer | Subscription]] = [(None, record.customer)]
        holders[:0] = [(self.owner, it) for it in record.subscriptions if it.id == self.owner]
        for owner, holder in holders:
            for override in holder.overrides:
                is_self = owner == self.owner and override.id == self.override.id
                if override.feature == self.override.feature and not is_self:
                    yield OverrideLocation(owner, override)
