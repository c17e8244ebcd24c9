"""Subjects for the tests of the replica."""

from __future__ import annotations

from tiergate.model import (
    Amount,
    Customer,
    Override,
    OverrideMode,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Suspension,
)


def override(id: str = "o", units: int = 5) -> Override:
    """An override with an author and a reason."""
    return Override(id, "movies", OverrideMode.REPLACE, Amount(units), author="ann", reason="a promise")


def suspension() -> Suspension:
    """A suspension with a reason."""
    return Suspension("movies", reason="a secret")


def customer(id: str, *overrides: Override) -> Customer:
    """A customer with a tag."""
    return Customer(id, ("eu",), {"region": "x"}, overrides)


def subscription(id: str, holder: str, *overrides: Override, quantity: int = 1) -> Subscription:
    """A subscription of one item."""
    return Subscription(
        id, holder, SubscriptionStatus.ACTIVE, (SubscriptionItem("gold", quantity),), overrides=overrides
    )
