"""The schemas of service levels."""

from __future__ import annotations

from tiergate.catalog.entries.metering import UTC
from tiergate.catalog.entries.service_levels import MAX_LATENCY_MS, MAX_LEAST, SpentBy
from tiergate.catalog.schemas.parts import Schema, calendar_period, closed, line, whole, words
from tiergate.model import CalendarUnit, ServiceLevel

_DEFAULTS = ServiceLevel(availability=0)


def service_level(*, of_item: bool) -> Schema:
    """Return the service level of a feature, or of an item, which takes what is missing from the feature's."""
    window = calendar_period("The period over which it is promised, by the calendar.")
    timezone = line("The time zone whose calendar counts, by its IANA name.")
    spent_by = words(SpentBy, "The least bad status that spends the error budget.")
    least = whole(1, MAX_LEAST, "The fewest requests that say something.")
    degraded = whole(1, 100, "Percent of requests that fail or are slow, from which a minute is degraded.")
    down = whole(1, 100, "Percent of requests that fail, from which a minute is down.")
    if not of_item:
        window["default"], timezone["default"] = CalendarUnit.MONTH.value, UTC
        spent_by["default"] = _DEFAULTS.spent_by.value
        for schema, name in ((least, "least"), (degraded, "degraded"), (down, "down")):
            schema["default"] = getattr(_DEFAULTS, name)
    schema = closed(
        {
            "availability": {
                "type": "number",
                "minimum": 0,
                "maximum": 100,
                "description": "Percent of the time, with at most four decimal digits.",
            },
            "latency_ms": whole(1, MAX_LATENCY_MS, "A request that takes longer is slow, in milliseconds."),
            "window": window,
            "timezone": timezone,
            "spent_by": spent_by,
            "minute": closed(
                {"least": least, "degraded": degraded, "down": down},
                description="When a minute of requests that services report is degraded or down.",
            )
            | {"minProperties": 1},
        },
        () if of_item else ["availability"],
        "What an item promises of a feature; what is left out is as the feature promises."
        if of_item
        else "What is promised of the feature over each window.",
    )
    return schema | {"minProperties": 1} if of_item else schema
