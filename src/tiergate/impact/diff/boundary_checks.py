"""The checks at the boundaries of a feature: between them, no decision can change.

For a limit: the check that just reaches it and the one that exceeds it by the smallest step; for a level: each one; for
a batch: the amounts that distinguish its minimum and increment; for a cap: as for a limit. The boundaries of both sides
are checked on both. Boundaries in rules are left to `rule_equivalence`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.engine.normalized_check import default_amount
from tiergate.impact.single_subject_engine import CheckParameters
from tiergate.model import MAX_EDGE_UNITS, FeatureType, MeteredUsage, from_units

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.impact.single_subject_engine import EntitlementValue
    from tiergate.model import Feature, Number

LEAST_CHECK: Final = CheckParameters()
"""The check without parameters: the least that can be requested."""


def boundary_checks(features: Iterable[Feature], values: Iterable[EntitlementValue]) -> list[CheckParameters]:
    """Return the checks, without the least one, for a subject that holds these values on either side.

    `features`: the feature on each side.
    """
    limits: set[Number] = set()
    for entry in values:
        if not isinstance(entry.value, bool | str | None) and entry.value:
            limits |= {entry.value, entry.value + (entry.overage_max or 0)}
    checks: dict[CheckParameters, None] = {}
    for feature in features:
        match feature.type:
            case FeatureType.SWITCH:
                continue
            case FeatureType.QUANTITY:
                created = _quantity(feature, _units(limits, feature.scale))
            case FeatureType.RANGE:
                created = _range(feature, _units(limits, feature.scale))
            case FeatureType.CUSTOM:
                created = (CheckParameters(level=label) for label in feature.labels)
        checks.update(dict.fromkeys(created))
    checks.pop(LEAST_CHECK, None)
    return list(checks)


def _units(limits: Iterable[Number], scale: int) -> list[int]:
    """Return limits in units of this scale, rounded down; those beyond the range of checks are left out."""
    result = set()
    for limit in limits:
        units = int(limit * 10**scale)
        if units <= MAX_EDGE_UNITS:
            result.add(units)
    return sorted(result)


def _quantity(feature: Feature, limits: list[int]) -> Iterator[CheckParameters]:
    scale, least = feature.scale, default_amount(feature)

    def number(units: int) -> Number:
        return from_units(units, scale)

    for amount in sorted(value for value in set(_batched(feature)) if 0 < value <= MAX_EDGE_UNITS):
        yield CheckParameters(amount=number(amount))
    yield CheckParameters(used=number(10**15 - 1))
    for limit in limits:
        yield CheckParameters(amount=number(limit), used=0)
        yield CheckParameters(amount=number(limit + 1), used=0)
        if limit >= least:
            yield CheckParameters(amount=number(least), used=number(limit - least))
            yield CheckParameters(amount=number(least), used=number(limit - least + 1))
            yield CheckParameters(amount=number(least), metered=MeteredUsage(used=limit - least + 1))
    for cap, by_user in ((feature.caps.per_user, True), (feature.caps.total, False)):
        for used in () if cap is None else (max(cap - least, 0), max(cap - least + 1, 0)):
            total = MeteredUsage(total_used=used)
            yield CheckParameters(user_used=number(used)) if by_user else CheckParameters(metered=total)
        if cap is not None and 0 < cap < least:
            yield CheckParameters(amount=number(cap))


def _batched(feature: Feature) -> Iterator[int]:
    """Yield the amounts that distinguish a batch: two successive multiples, and those around its minimum."""
    batch = feature.batch
    if batch.minimum is None and batch.increment is None:
        return
    step, least = batch.increment or 1, default_amount(feature)
    yield from (least, least + step, least - step, least - 1, least + 1, step)
    if batch.minimum is not None:
        yield from (batch.minimum, batch.minimum - 1)


def _range(feature: Feature, limits: list[int]) -> Iterator[CheckParameters]:
    ends = {*limits, *(it for it in (feature.maximum, feature.minimum) if it is not None)}
    for value in sorted({*ends, *(end + 1 for end in ends)}):
        if 0 <= value <= MAX_EDGE_UNITS:
            yield CheckParameters(value=from_units(value, feature.scale))
