"""How an entitlement reads for people: `on`, `50 movies/month`, `+10 movies/month`, `unlimited`, `phone`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model.amounts import format_units
from tiergate.model.values import AddedAmount, Amount, Level, Switch, Unlimited

if TYPE_CHECKING:
    from tiergate.model.features import Feature
    from tiergate.model.values import Value


def display_value(value: Value, feature: Feature) -> str:
    """Write a value with its feature's unit, as it stands in a permit's `@value`."""
    match value:
        case Switch(on):
            return "on" if on else "off"
        case Level(label):
            return label
        case Unlimited():
            return "unlimited"
        case Amount(units, per):
            sign = ""
        case AddedAmount(units, per):
            sign = "+"
    number = sign + format_units(units, feature.scale)
    if feature.unit:
        number = f"{number} {feature.unit}"
    return f"{number} per {per.value}" if per else number
