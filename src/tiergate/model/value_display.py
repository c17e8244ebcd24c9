"""Format an entitlement for people: `on`, `50 movies/month`, `+10 movies/month`, `unlimited`, `phone`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.model.value_text import format_value

if TYPE_CHECKING:
    from tiergate.model.features import Feature
    from tiergate.model.values import Value


def display_value(value: Value, feature: Feature) -> str:
    """Write a value with its feature's unit, as a permit's `@value` shows it."""
    return format_value(value, feature.scale, unit=feature.unit, switches=("off", "on"))
