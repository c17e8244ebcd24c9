"""Limits of metered features: soft and hard, with what grants add; and those of drawn features (design, section 10).

Pure arithmetic on facts and usage. What is made here is at most 2^62, and sums that policies make of it stay in the
range of Cedar's numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.model import MAX_TOTAL_UNITS, NO_METERED_USAGE, FeatureType, LimitKind, MeteredAmount, Override

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.engine.active_items import ActiveVersion
    from tiergate.engine.facts import Facts
    from tiergate.model import Feature, MeteredUsage, Value

NO_CEILING: Final = MAX_TOTAL_UNITS
"""The ceiling where there is none: more than anybody can use."""


class Softness(NamedTuple):
    """Whether a limit is soft, and how many units above it are allowed; `None`: any number."""

    soft: bool = False
    overage_max: int | None = None


HARD: Final = Softness()
"""A hard limit."""


def combine_softness(
    feature: Feature, contributions: Iterable[tuple[str, ActiveVersion | Override, Value | None]]
) -> Softness:
    """Return whether the limit that these contributions make is soft.

    The contributions that say it decide: overrides on the customer, else overrides on subscriptions, else items. Among
    them soft wins, with the most overage. If none says it, the feature does.
    """
    metered = feature.metered
    if metered is None or feature.type is not FeatureType.QUANTITY:
        return HARD
    groups: tuple[list[MeteredAmount], ...] = ([], [], [])
    for subscription, by, value in contributions:
        if isinstance(value, MeteredAmount):
            groups[2 if not isinstance(by, Override) else 1 if subscription else 0].append(value)
    for group in groups:
        if group:
            soft = [value.overage_max for value in group if value.limit is LimitKind.SOFT]
            if not soft:
                return HARD
            bounds = [bound for bound in soft if bound is not None]
            return Softness(True, max(bounds) if len(bounds) == len(soft) else None)
    return Softness(True, metered.overage_max) if metered.limit is LimitKind.SOFT else HARD


def limit_of(facts: Facts, usage: MeteredUsage) -> int:
    """Return the limit in units: the allowance and what is granted; 0 where it is unlimited."""
    if facts.unlimited or not usage.granted:
        return facts.total
    return min(facts.total + usage.granted, MAX_TOTAL_UNITS)


def ceiling_of(facts: Facts, usage: MeteredUsage) -> int:
    """Return the most units that may be used; `NO_CEILING`: any number. The limit where it is unlimited."""
    limit = limit_of(facts, usage)
    if not facts.soft or facts.unlimited:
        return limit
    return NO_CEILING if facts.overage_max is None else min(limit + facts.overage_max, NO_CEILING)


def is_unbounded(facts: Facts) -> bool:
    """Return whether any number of units may be used: without a limit, or above a soft one."""
    return facts.unlimited or (facts.soft and facts.overage_max is None)


def drawn_amount(feature: Feature, amount: int) -> int:
    """Return how many units of its source a consumption of a feature draws, rounded up; 0 if it draws on nothing."""
    draws = feature.draws
    if draws is None:
        return 0
    whole = int(10**feature.scale)
    return min(-(-amount * draws.cost // whole), NO_CEILING)


def drawn_used(usage: MeteredUsage) -> int:
    """Return what is used of the source, as far as it is known."""
    return 0 if usage.drawn is None else min(usage.drawn.used, NO_CEILING - 1)


def drawn_ceiling(facts: Facts, usage: MeteredUsage) -> int:
    """Return the most units of the source that may be used; 0 if the subject does not hold it, or it is suspended.

    A soft limit allows more of what somebody holds, and nothing to those who hold nothing.
    """
    source, drawn = facts.drawn, NO_METERED_USAGE if usage.drawn is None else usage.drawn
    if source is None or source.suspended or not source.active or not (source.held or drawn.granted):
        return 0
    return NO_CEILING if source.unlimited else ceiling_of(source, drawn)
