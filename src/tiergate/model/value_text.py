"""The written form of an entitlement in entity data and `@value`: `50`, `unlimited`, `+10`, `20 per subscription`.

A number that is not the end of it says so: `100, soft limit`, `100, soft limit, at most 20 above`. Parsing needs the
feature: a custom level may be called `unlimited` or `+10`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from tiergate.model.amounts import MAX_EDGE_UNITS, format_units, to_units
from tiergate.model.features import Feature, FeatureType
from tiergate.model.values import (
    UNLIMITED,
    AddedAmount,
    Amount,
    Level,
    LimitKind,
    MeteredAmount,
    Per,
    Switch,
    Unlimited,
    Value,
)

_SHORT = len(str(MAX_EDGE_UNITS))
_MOST, _ABOVE = "at most ", " above"


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
    if per:
        number = f"{number} per {per.value}"
    if isinstance(value, MeteredAmount):
        return f"{number}, {format_limit(value.limit, value.overage_max, scale)}"
    return number


def format_limit(limit: LimitKind, overage_max: int | None, scale: int) -> str:
    """Write what happens above a limit: `hard limit`, `soft limit`, `soft limit, at most 20 above`."""
    above = "" if overage_max is None else f", {_MOST}{format_units(overage_max, scale)}{_ABOVE}"
    return f"{limit.value} limit{above}"


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
    amount, _, limit = text.partition(", ")
    number, _, per = amount.partition(" per ")
    try:
        units = to_units(Decimal(number.removeprefix("+")), feature.scale)
        if limit and not number.startswith("+"):
            return MeteredAmount(units, Per(per) if per else None, *_parse_limit(limit, feature.scale))
    except InvalidOperation:
        msg = f"`{text}` is not a number"
        raise ValueError(msg) from None
    if limit:
        msg = f"`{text}` is not a value of a quantity"
        raise ValueError(msg)
    kind = AddedAmount if number.startswith("+") else Amount
    return kind(units, Per(per) if per else None)


def _parse_limit(text: str, scale: int) -> tuple[LimitKind, int | None]:
    """Parse what `format_limit` wrote."""
    kind, _, above = text.partition(", ")
    limit = LimitKind(kind.removesuffix(" limit"))
    if not above:
        return limit, None
    return limit, to_units(Decimal(above.removeprefix(_MOST).removesuffix(_ABOVE)), scale)
