"""Compare two entitlement values of one feature."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tiergate.impact.diff.diff_result import ChangeDirection
from tiergate.model import FeatureType

if TYPE_CHECKING:
    from tiergate.impact.single_subject_engine import EntitlementValue
    from tiergate.model import Feature


def is_equal_value(before: EntitlementValue, after: EntitlementValue) -> bool:
    """Return whether both values are as much, in whatever unit; nothing equals nothing."""
    if before.is_nothing or after.is_nothing:
        return before.is_nothing and after.is_nothing
    return (before.value, before.unlimited) == (after.value, after.unlimited)


def classify_change(
    before: EntitlementValue, after: EntitlementValue, baseline: Feature | None, candidate: Feature | None
) -> ChangeDirection:
    """Return how an unequal value changes; `baseline`, `candidate`: the feature on each side."""
    if before.is_nothing:
        return ChangeDirection.GAINS
    if after.is_nothing:
        return ChangeDirection.LOSES
    if baseline is None or candidate is None or baseline.type is not candidate.type:
        return ChangeDirection.OTHER
    if candidate.type is FeatureType.CUSTOM:
        could, can = _reached(before, baseline), _reached(after, candidate)
        return ChangeDirection.MORE if could < can else ChangeDirection.LESS if can < could else ChangeDirection.OTHER
    return ChangeDirection.MORE if _size(after) > _size(before) else ChangeDirection.LESS


def _reached(value: EntitlementValue, feature: Feature) -> set[str]:
    """Return the levels that a check may request; each side has its own order of levels."""
    return {*feature.labels[: feature.rank(str(value.value))]}


def _size(held: EntitlementValue) -> Decimal:
    if held.unlimited:
        return Decimal("Infinity")
    return Decimal(held.value) if isinstance(held.value, int | Decimal) else Decimal(0)
