"""The written form of an entitlement in entity data and `@value`: `50`, `unlimited`, `+10`, `20 per subscription`.

Parsing needs the feature: a custom level may be called `unlimited` or `+10`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from tiergate.model.amounts import MAX_EDGE_UNITS, format_units, to_units
from tiergate.model.features import Feature, FeatureType
from tiergate.model.values import UNLIMITED, AddedAmount, Amount, Level, Per, Switch, Unlimited, Value

_SHORT = len(str(MAX_EDGE_UNITS))


def format_value(value: Value, scale: int, *, unit: str = "", switches: tuple[str, str] = ("false", "true")) -> str:
    """Write a value. `scale`: the feature's decimal digits; `unit` follows a number; `switches`: off, on."""
    match value:
        case Switch(on):
            return switches[on]
        case Level(label):
            return label
        case Unlimited():
            return "unlimited"
        case Amount(units, per):
            sign = ""
        case AddedAmount(units, per):
            sign = "+"
    number = sign + format_units(units, scale) + (f" {unit}" if unit else "")
    return f"{number} per {per.value}" if per else number


def parse_value(text: str, feature: Feature) -> Value:
    """Parse what `format_value` wrote for this feature.

    Raises:
        ValueError: if the text is not a value of this feature's type.
    """
    if feature.type is FeatureType.SWITCH:
        if text not in {"true", "false"}:
            msg = f"`{text}` is not a value of a switch"
            raise ValueError(msg)
        return Switch(text == "true")
    if feature.type is FeatureType.CUSTOM:
        if not feature.rank(text):
            msg = f"`{text}` is not a level of `{feature.id}`"
            raise ValueError(msg)
        return Level(text)
    if text.isdecimal() and text.isascii() and not feature.scale and len(text) < _SHORT:  # most values; the fast way
        return Amount(int(text))
    if text == "unlimited":
        return UNLIMITED
    number, _, per = text.partition(" per ")
    try:
        units = to_units(Decimal(number.removeprefix("+")), feature.scale)
    except InvalidOperation:
        msg = f"`{text}` is not a number"
        raise ValueError(msg) from None
    kind = AddedAmount if number.startswith("+") else Amount
    return kind(units, Per(per) if per else None)
