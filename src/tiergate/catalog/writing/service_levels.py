"""Write service levels as plain data, as in a file and in a body of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.catalog.entries.service_levels import PERCENT_DIGITS
from tiergate.model import CalendarUnit, ItemServiceLevel, ServiceLevel, from_units

if TYPE_CHECKING:
    from tiergate.catalog.writing.printer import PlainData


def calendar_period_data(unit: CalendarUnit, count: int) -> PlainData:
    """Return a period of calendar time as plain data: `month`, or `{every: 3, of: month}`."""
    return unit.value if count == 1 else {"every": count, "of": unit.value}


def service_level_data(level: ServiceLevel | ItemServiceLevel) -> dict[str, PlainData]:
    """Return a service level as plain data: of a feature without defaults, of an item without what the feature says."""
    if isinstance(level, ServiceLevel):
        default = ServiceLevel(availability=level.availability)
        unlike = {name: getattr(level, name) for name in level.__struct_fields__}
        period = ("window", "every")
        kept = {
            name: value
            for name, value in unlike.items()
            if name == "availability"
            or value != getattr(default, name)
            or (name in period and any(unlike[it] != getattr(default, it) for it in period))
        }
        level = ItemServiceLevel(**kept)
    data: dict[str, PlainData] = {}
    if level.availability is not None:
        data["availability"] = from_units(level.availability, PERCENT_DIGITS)
    if level.latency_ms is not None:
        data["latency_ms"] = level.latency_ms
    if level.window is not None:
        data["window"] = calendar_period_data(level.window, level.every or 1)
    if level.timezone is not None:
        data["timezone"] = level.timezone
    if level.spent_by is not None:
        data["spent_by"] = level.spent_by.value
    minute: dict[str, PlainData] = {
        name: value for name in ("least", "degraded", "down") if (value := getattr(level, name)) is not None
    }
    return data | ({"minute": minute} if minute else {})
