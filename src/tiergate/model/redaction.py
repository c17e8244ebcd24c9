"""Subjects without what is for people alone, as the feed, snapshots and sidecars carry them.

Left out are reasons and authors, names, metadata and external ids: no decision reads any of them. So a change of one of
them alone reaches no sidecar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from tiergate.model.subjects import Customer, Override, Subscription, Suspension


def redact_customer(customer: Customer) -> Customer:
    """The customer without what is for people alone; the same one where nothing of it is there."""
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
    """The subscription without what is for people alone; the same one where nothing of it is there."""
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
