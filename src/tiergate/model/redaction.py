"""Redaction: subjects without the fields that only people read, as the feed, snapshots and sidecars carry them.

It removes reasons and authors, names, metadata and external ids: no decision reads them. A change of such a field alone
reaches no sidecar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.model.subjects import SubjectRecord

if TYPE_CHECKING:
    from tiergate.model.subjects import Customer, Override, Subscription, Suspension


def redact_record(record: SubjectRecord) -> SubjectRecord:
    """Return a record without the fields that only people read."""
    return SubjectRecord(redact_customer(record.customer), tuple(map(redact_subscription, record.subscriptions)))


def redact_customer(customer: Customer) -> Customer:
    """Return the customer without the fields that only people read; the same object if it has none."""
    if not (customer.overrides or customer.suspensions or customer.name or customer.metadata or customer.external_ids):
        return customer
    return replace(
        customer,
        overrides=_overrides(customer.overrides),
        suspensions=_suspensions(customer.suspensions),
        name="",
        metadata={},
        external_ids={},
    )


def redact_subscription(subscription: Subscription) -> Subscription:
    """Return the subscription without the fields that only people read; the same object if it has none."""
    if not (subscription.overrides or subscription.suspensions or subscription.metadata or subscription.external_ids):
        return subscription
    return replace(
        subscription,
        overrides=_overrides(subscription.overrides),
        suspensions=_suspensions(subscription.suspensions),
        metadata={},
        external_ids={},
    )


def _overrides(overrides: tuple[Override, ...]) -> tuple[Override, ...]:
    return tuple(replace(override, author="", reason="") for override in overrides)


def _suspensions(suspensions: tuple[Suspension, ...]) -> tuple[Suspension, ...]:
    return tuple(replace(suspension, reason="") for suspension in suspensions)
