"""Check what the engine and the ledger rely on in metered features and in what features draw on.

Both only the compiler's own proof, as in `catalog_checks`: the reader of files reports the same in its author's terms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model import MAX_PERCENT, MAX_THRESHOLDS, FeatureType, LimitKind, Metered, sorted_thresholds
from tiergate.model.amounts import MAX_EDGE_UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiergate.model import Feature, MeteredAmount

_MINUTE_MS = 60_000
_MAX_EVERY = 10_000


def find_metering_faults(feature: Feature, features: Mapping[str, Feature]) -> Iterator[str]:
    """Yield what is wrong with how a feature is metered, and with what it draws on; `features`: all, by id."""
    metered = feature.metered
    if metered is not None:
        if feature.type is not FeatureType.QUANTITY:
            yield "is metered, but no quantity"
        yield from _window_faults(metered)
        yield from _limit_faults(metered)
    if feature.draws is None:
        return
    if metered is None:
        yield "draws on another feature, but is not metered"
    if not 1 <= feature.draws.cost <= MAX_EDGE_UNITS:
        yield f"draws a cost outside 1 to {MAX_EDGE_UNITS} units"
    yield from _source_faults(feature, features)


def _window_faults(metered: Metered) -> Iterator[str]:
    plain = Metered()
    if not 1 <= metered.every <= _MAX_EVERY:
        yield f"resets every {metered.every} periods, outside 1 to {_MAX_EVERY}"
    if metered.late < 0 or metered.late % _MINUTE_MS:
        yield "accepts late usage for a time that is negative or no whole number of minutes"
    if metered.reset is None:
        differing = [
            name
            for name in ("every", "anchor", "timezone", "rollover_max", "late")
            if getattr(metered, name) != getattr(plain, name)
        ]
        if differing:
            yield f"never resets, but has `{differing[0]}`"
    if not metered.timezone or metered.timezone.strip() != metered.timezone:
        yield "has no valid time zone"


def _limit_faults(metered: Metered) -> Iterator[str]:
    if metered.overage_max is not None:
        if metered.limit is LimitKind.HARD:
            yield "has a hard limit, but units above it"
        elif not 1 <= metered.overage_max <= MAX_EDGE_UNITS:
            yield f"allows units above its limit outside 1 to {MAX_EDGE_UNITS}"
    yield from _threshold_faults(metered)
    if not 0 <= metered.rollover_max <= MAX_EDGE_UNITS:
        yield f"rolls over units outside 0 to {MAX_EDGE_UNITS}"


def _threshold_faults(metered: Metered) -> Iterator[str]:
    thresholds = metered.thresholds
    if len(set(thresholds)) < len(thresholds) or thresholds != sorted_thresholds(list(thresholds)):
        yield "has thresholds that are out of order, or one twice"
    if len(thresholds) > MAX_THRESHOLDS:
        yield f"has more than {MAX_THRESHOLDS} thresholds"
    for threshold in thresholds:
        if (threshold.percent is None) == (threshold.units is None):
            yield "has a threshold that is no percentage and no amount, or both"
        elif not 1 <= (threshold.percent or 1) <= MAX_PERCENT or not 1 <= (threshold.units or 1) <= MAX_EDGE_UNITS:
            yield "has a threshold out of range"


def _source_faults(feature: Feature, features: Mapping[str, Feature]) -> Iterator[str]:
    draws = feature.draws
    if draws is None:
        return
    source = features.get(draws.source)
    if source is None:
        yield f"draws on `{draws.source}`, which does not exist"
    elif source.id == feature.id:
        yield "draws on itself"
    elif source.type is not FeatureType.QUANTITY or source.metered is None:
        yield f"draws on `{draws.source}`, which is no metered quantity"
    elif source.draws is not None:
        yield f"draws on `{draws.source}`, which draws on a feature itself"
    elif source.scale != draws.scale:  # INVARIANT (scale of a cost)
        yield f"draws on `{draws.source}` with a cost of scale {draws.scale}, and its scale is {source.scale}"


def find_limit_fault(value: MeteredAmount, feature: Feature) -> str:
    """Return why a feature cannot have a number with a kind of limit of its own; empty if it can."""
    if feature.metered is None:
        return "a kind of limit, but it is not metered"
    if value.overage_max is None:
        return ""
    if value.limit is LimitKind.HARD:
        return "a hard limit with units above it"
    if not 1 <= value.overage_max <= MAX_EDGE_UNITS:
        return f"units above its limit outside 1 to {MAX_EDGE_UNITS}"
    return ""
