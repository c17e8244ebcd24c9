"""Finds the overrides of one scope, a subscription or a customer, that act on a feature (design, semantics 2).

Of the active `replace` and `disabled`, the latest to start acts. Then the largest `at_least` acts on the result, then
every `add`; neither acts beside a `disabled`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import MAX_TOTAL_UNITS, AddedAmount, Amount, Feature, Level, Override, OverrideMode, Switch, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.engine.active_items import ValidityWindow


class ActingOverrides(NamedTuple):
    """The acting overrides of one scope: the replacing one, the largest `at_least`, every `add` in its order."""

    base: Override | None = None
    floor: Override | None = None
    adds: tuple[Override, ...] = ()

    @property
    def disables(self) -> bool:
        """Whether the feature is disabled."""
        return self.base is not None and self.base.mode is OverrideMode.DISABLED


NONE_ACTING = ActingOverrides()
"""No override acts."""


def acting_overrides(overrides: Iterable[Override], feature: Feature, window: ValidityWindow) -> ActingOverrides:
    """Return the acting overrides of one scope on a feature; narrows `window` to the time in which they act."""
    base: Override | None = None
    floor: Override | None = None
    adds: list[Override] = []
    name = feature.id
    for override in overrides:
        if override.feature != name or not window.contains(override.start, override.until):
            continue
        match override.mode:
            case OverrideMode.REPLACE | OverrideMode.DISABLED:
                if base is None or _precedence(override) > _precedence(base):
                    base = override
            case OverrideMode.AT_LEAST:
                if floor is None or _height(override, feature) > _height(floor, feature):
                    floor = override
            case OverrideMode.ADD:
                adds.append(override)
    if base is floor is None and not adds:
        return NONE_ACTING
    if base is not None and base.mode is OverrideMode.DISABLED:
        return ActingOverrides(base)
    return ActingOverrides(base, floor, tuple(adds))


def _precedence(override: Override) -> tuple[int, bool, str]:
    return override.start, override.mode is OverrideMode.DISABLED, override.id


def _height(override: Override, feature: Feature) -> tuple[int, str]:
    return 0 if override.value is None else units_of(feature, override.value), override.id


def units_of(feature: Feature, value: Value) -> int:
    """Return the value of an override in units, as a rank, or as 0 or 1; above all numbers if unlimited."""
    if isinstance(value, Amount | AddedAmount):
        return value.units
    if isinstance(value, Switch):
        return int(value.on)
    if isinstance(value, Level):
        return feature.rank(value.label)
    return MAX_TOTAL_UNITS + 1
