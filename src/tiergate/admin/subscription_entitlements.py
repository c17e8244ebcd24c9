"""Compute what a subscription gives as the entitlements of one version of an item.

A subscription with one such item has exactly what the subscription gives at that instant: its items in their active
versions, with its own overrides. Overrides of the customer, suspensions and later changes are not part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.engine.active_items import resolve_active_items
from tiergate.engine.facts import resolve_facts
from tiergate.errors import ConflictError
from tiergate.impact.subject_change.change_effects import catalog_definitions
from tiergate.model import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Customer,
    FeatureType,
    Level,
    LimitKind,
    MeteredAmount,
    Subject,
    SubjectRecord,
    SubjectType,
    Switch,
    to_units,
)
from tiergate.model.amounts import from_units

if TYPE_CHECKING:
    from tiergate.engine.facts import Facts
    from tiergate.model import Feature, Instant, Subscription, Value
    from tiergate.store import PublishedCatalog


def entitlements_of(
    customer: Customer, subscription: Subscription, published: PublishedCatalog, now: Instant
) -> dict[str, Value]:
    """Return what a subscription gives at an instant, by feature.

    Raises:
        ConflictError: it is not live, or gives what no item can give.
    """
    live = subscription.live_interval()
    if not live.start <= now < live.until:
        raise ConflictError("not-live", f"the subscription `{subscription.id}` is not live: it gives nothing now")
    record = SubjectRecord(replace(customer, overrides=(), suspensions=()), (replace(subscription, suspensions=()),))
    subject = Subject(subscription.id, SubjectType.SUBSCRIPTION)
    items = resolve_active_items(record, subject, published.index, now)
    definitions = catalog_definitions(published.catalog, published.index)
    entitlements: dict[str, Value] = {}
    for feature in published.index.features.values():
        facts = resolve_facts(replace(feature, suspensions=()), items, subject, definitions, now)
        if (facts.given or facts.overridden) and not facts.disabled:
            entitlements[feature.id] = _value(facts, feature)
    return entitlements


def _value(facts: Facts, feature: Feature) -> Value:
    if feature.type is FeatureType.SWITCH:
        return Switch(bool(facts.total))
    if feature.type is FeatureType.CUSTOM:
        return Level(feature.labels[facts.total - 1])
    if facts.unlimited:
        if feature.unlimited_level and feature.maximum is None:
            return UNLIMITED
        raise ConflictError(
            "not-definable", f"no item can give `{feature.id}` as `unlimited`, as the subscription does"
        )
    if feature.maximum is not None and facts.total > feature.maximum:  # an override is free of it, no item is
        detail = f"no item can give `{feature.id}` above its maximum, as an override of the subscription does"
        raise ConflictError("not-definable", detail)
    try:
        to_units(from_units(facts.total, feature.scale), feature.scale)
    except ValueError as error:
        raise ConflictError("not-definable", f"the subscription's value of `{feature.id}` {error}") from None
    is_no_level = feature.numbers is not None and facts.total not in feature.numbers
    is_below = feature.minimum is not None and facts.total < feature.minimum
    own = _own_limit(facts, feature)
    if is_no_level or is_below:  # levels and bounds limit a given amount, but not one that is added to nothing here
        if own is not None:
            detail = f"no item can give the subscription's value of `{feature.id}` with a limit of its own"
            raise ConflictError("not-definable", detail)
        return AddedAmount(facts.total)
    return Amount(facts.total) if own is None else own


def _own_limit(facts: Facts, feature: Feature) -> MeteredAmount | None:
    """Return the value with its kind of limit, if that is not the feature's."""
    metered = feature.metered
    if metered is None or (facts.soft, facts.overage_max) == (metered.limit is LimitKind.SOFT, metered.overage_max):
        return None
    if facts.soft:
        return MeteredAmount(facts.total, None, LimitKind.SOFT, facts.overage_max)
    return MeteredAmount(facts.total, None, LimitKind.HARD)
