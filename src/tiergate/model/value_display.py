"""Format an entitlement for people: `on`, `50 movies/month`, `+10 movies/month`, `unlimited`, `phone`.

A number that is not the end of it says so, even if only its feature does: `100 calls/month, soft limit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model.value_text import format_limit, format_value
from tiergate.model.values import Amount, LimitKind

if TYPE_CHECKING:
    from tiergate.model.features import Feature
    from tiergate.model.values import Value


def display_value(value: Value, feature: Feature) -> str:
    """Write a value with its feature's unit, as a permit's `@value` shows it."""
    text = format_value(value, feature.scale, unit=feature.unit, switches=("off", "on"))
    metered = feature.metered
    if type(value) is Amount and metered is not None and metered.limit is LimitKind.SOFT:
        return f"{text}, {format_limit(metered.limit, metered.overage_max, feature.scale)}"
    return text
