"""Entitlements as answers show them: what a subject has of a feature, whatever the decision is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.engine.metered_limits import limit_of
from tiergate.model import Entitlement, FeatureType, ShownCaps, from_units

if TYPE_CHECKING:
    from tiergate.engine.facts import Facts
    from tiergate.model import Feature, MeteredUsage, Number

UNSET = msgspec.UNSET


def entitlement_without_facts(feature: Feature, used: int) -> Entitlement:
    """Return the entitlement of a subject that nothing is known about: to nothing. `used` is in units."""
    return _entitlement(feature, 0, used, unlimited=False)


def entitlement_of(facts: Facts, used: int, amount: int, usage: MeteredUsage | None) -> Entitlement:
    """Return the entitlement that facts give.

    `used`: units, as the check says it or as metered. `amount`: what an allowed check adds to it. `usage`: what the
    decision rests on, if it is metered here.
    """
    feature = facts.feature
    if usage is None and not facts.soft:  # nearly always
        return _entitlement(feature, facts.total, used, unlimited=facts.unlimited)
    limit = facts.total if usage is None else limit_of(facts, usage)
    plain = _entitlement(feature, limit, used, unlimited=facts.unlimited)
    granted = 0 if usage is None or facts.unlimited else usage.granted
    over = 0 if facts.unlimited else used + amount - limit
    return Entitlement(
        plain.value,
        plain.unlimited,
        plain.unit,
        plain.used,
        plain.remaining,
        from_units(granted, feature.scale) if granted else UNSET,
        from_units(over, feature.scale) if over > 0 else UNSET,
        plain.caps,
    )


def _entitlement(feature: Feature, total: int, used: int, *, unlimited: bool) -> Entitlement:
    if feature.type is FeatureType.SWITCH:
        return Entitlement(value=bool(total))
    if feature.type is FeatureType.CUSTOM:
        return Entitlement(value=feature.labels[total - 1] if total else None)
    unit = feature.unit or UNSET
    value = UNSET if unlimited else from_units(total, feature.scale)
    if feature.type is FeatureType.RANGE:
        return Entitlement(value, unlimited, unit)
    remaining = UNSET if unlimited else from_units(max(0, total - used), feature.scale)
    return Entitlement(value, unlimited, unit, from_units(used, feature.scale), remaining, caps=shown_caps(feature))


def shown_caps(feature: Feature) -> ShownCaps | msgspec.UnsetType:
    """Return the caps of a feature as entitlements show them, if it has any."""
    caps, scale = feature.caps, feature.scale
    if caps.total is None and caps.per_user is None:
        return UNSET
    return ShownCaps(_shown(caps.total, scale), _shown(caps.per_user, scale))


def _shown(units: int | None, scale: int) -> Number | msgspec.UnsetType:
    return UNSET if units is None else from_units(units, scale)
