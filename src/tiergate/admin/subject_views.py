"""Show customers and subscriptions: the form of the files, and the state that the store knows besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.admin.customer_validation import printable_features
from tiergate.admin.plan_changes import find_scheduled_change
from tiergate.admin.results import Data, View
from tiergate.admin.write_order import as_of_data
from tiergate.catalog import customer_data, subscription_data
from tiergate.model import Customer, SubjectType, Subscription, format_instant
from tiergate.model.subscription_state import derive_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiergate.catalog import PlainData
    from tiergate.model import CatalogIndex, Instant
    from tiergate.store import ReadUnit
    from tiergate.store.customers import Account
    from tiergate.store.subjects import StoredRecord, StoredSubscription


def file_data(subject: Customer | Subscription, index: CatalogIndex) -> Data:
    """Return a subject in the form of the files, with the ids of its overrides."""
    features = printable_features(index.features, subject)
    if isinstance(subject, Customer):
        return customer_data(subject, features, every_id=True)
    return subscription_data(subject, features, every_id=True)


def customer_views(stored: Sequence[StoredRecord | Account], unit: ReadUnit) -> list[View]:
    """Return customers as the API shows them."""
    customers = [one.customer for one in stored]
    known = as_of_data(unit, SubjectType.CUSTOMER, [customer.id for customer in customers])
    views = []
    for one, customer in zip(stored, customers, strict=True):
        data = file_data(customer, unit.published.index)
        if one.erased_at is not None:
            data["erased_at"] = format_instant(one.erased_at)
        views.append(View(data | known.get(customer.id, {}), one.stamp))
    return views


def subscription_views(stored: Sequence[StoredSubscription], unit: ReadUnit) -> list[View]:
    """Return subscriptions as the API shows them, with their state now."""
    known = as_of_data(unit, SubjectType.SUBSCRIPTION, [subscription.id for subscription, _ in stored])
    index = unit.published.index
    return [
        View(file_data(it, index) | state_data(it, index, unit.now) | known.get(it.id, {}), stamp)
        for it, stamp in stored
    ]


def state_data(subscription: Subscription, index: CatalogIndex, now: Instant) -> Data:
    """Return the state of a subscription at an instant, and the change of plan that is scheduled then."""
    data: Data = {"state": derive_state(subscription, now).value}
    change = find_scheduled_change(subscription.items, index, now)
    if change is not None:
        leaving, coming = subscription.items[change.leaving], subscription.items[change.coming]
        ends: list[PlainData] = [
            entry.item for entry in subscription.items if entry is not leaving and entry.until == leaving.until
        ]
        data["scheduled_change"] = {
            "from_item": leaving.item,
            "to": coming.item,
            "quantity": coming.quantity,
            "at": format_instant(coming.start),
            **({"ends": ends} if ends else {}),
        }
    return data
