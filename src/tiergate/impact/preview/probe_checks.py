"""The checks that distinguish two sides of one feature: at the limits, steps and levels of both.

They suffice for features whose numbers no rule reads: for every check that one side allows and the other denies, one of
these is decided likewise. Numbers are exact, so a check means the same on both sides.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from tiergate.engine.metered_limits import NO_CEILING, ceiling_of, drawn_ceiling, is_unbounded
from tiergate.engine.normalized_check import default_amount
from tiergate.impact.single_subject_engine import CheckParameters
from tiergate.model import NO_METERED_USAGE, FeatureType, from_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.engine.facts import Facts
    from tiergate.model import Feature, Number

_ABOVE_ALL = 10**12
"""An amount that only an unlimited entitlement holds: above any step or minimum, valid at every scale."""


class ComparedLimit(NamedTuple):
    """What one side grants of a feature, as an exact number (a rank, or 0 or 1 for a switch).

    What is allowed above a soft limit is part of it. `drawn`: the greatest amount that the feature it draws on allows.
    """

    feature: Feature
    total: Fraction
    unlimited: bool
    drawn: Fraction | None = None


_LEAST = CheckParameters()


def compared_limit(feature: Feature | None, facts: Facts | None) -> ComparedLimit | None:
    """Return what one side grants; `None` if it has no such feature, or its total overflows."""
    if feature is None or facts is None:
        return None
    unbounded = is_unbounded(facts)
    total = facts.total if unbounded else ceiling_of(facts, NO_METERED_USAGE)
    drawn: Fraction | None = None
    if facts.drawn is not None and feature.draws is not None:
        ceiling = drawn_ceiling(facts, NO_METERED_USAGE)
        drawn = None if ceiling >= NO_CEILING else Fraction(ceiling, feature.draws.cost)
    return ComparedLimit(feature, Fraction(total, 10**feature.scale), unbounded, drawn)


def probe_checks(sides: tuple[ComparedLimit | None, ComparedLimit | None]) -> list[CheckParameters]:
    """Return the checks that compare two sides, the least one first, each once."""
    result = [_LEAST]
    known = [side for side in sides if side is not None]
    for side in known:
        match side.feature.type:
            case FeatureType.SWITCH:
                pass
            case FeatureType.CUSTOM:
                result += [CheckParameters(level=label) for label in side.feature.labels]
            case FeatureType.RANGE:
                result += [
                    CheckParameters(value=entry) for entry in (_edge(side.total), _ABOVE_ALL) if entry is not None
                ]
            case FeatureType.QUANTITY:
                result += _quantity(side, known)
    return list(dict.fromkeys(result))


def _quantity(side: ComparedLimit, known: list[ComparedLimit]) -> Iterator[CheckParameters]:
    feature = side.feature
    unit = 10**feature.scale
    least = Fraction(least_amount(feature), unit)
    step = Fraction(feature.batch.increment or 1, unit)
    # Of two steps that follow each other, at least one is no step of the other side unless all of them are.
    amounts = {least, least + step, Fraction(default_amount(feature), unit)}
    caps = [
        Fraction(cap, 10**value.feature.scale)
        for value in known
        for cap in (value.feature.caps.per_user, value.feature.caps.total)
        if cap is not None
    ]
    drawn = [it.drawn for it in known if it.drawn is not None]
    for most in [it.total for it in known if not it.unlimited] + caps + drawn:
        amounts |= {most // step * step, (most // step + 1) * step}
    for amount in sorted(amounts):
        if amount <= 0:
            continue
        places = [it.total - amount for it in known if it.feature.type is FeatureType.QUANTITY and not it.unlimited]
        own = [left for cap in caps for left in (cap - amount, cap)]
        yield from _checks(amount, Fraction(0), None)
        yield from _checks(amount, Fraction(_ABOVE_ALL), None)
        for used in places:
            yield from _checks(amount, used, None)
        for user_used in own:
            yield from _checks(amount, Fraction(0), user_used)


def _checks(amount: Fraction, used: Fraction, user_used: Fraction | None) -> Iterator[CheckParameters]:
    if used < 0 or (user_used is not None and user_used < 0):
        return
    data, on_top, own = _edge(amount), _edge(used), None if user_used is None else _edge(user_used)
    if data is not None and on_top is not None and (user_used is None) == (own is None):
        yield CheckParameters(amount=data, used=on_top, user_used=own)


def least_amount(feature: Feature) -> int:
    """Return the least amount, in units, that a check may request: the first step at or above the minimum."""
    step = feature.batch.increment or 1
    return -(-max(feature.batch.minimum or 1, 1) // step) * step


def _edge(number: Fraction) -> Number | None:
    """Return an exact number as a check writes it; `None` if it has more digits than any feature."""
    scaled = number * 10**6
    if scaled.denominator != 1:
        return None
    edge = from_units(scaled.numerator, 6)
    return edge if isinstance(edge, int) else Decimal(edge)
