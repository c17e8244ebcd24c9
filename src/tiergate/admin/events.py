"""Events that happened, as a list: what webhooks are sent, in the order in which it became true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tiergate.admin.instant_filters import instant_filter
from tiergate.errors import ParameterError, did_you_mean
from tiergate.model import format_instant
from tiergate.naming import nearest
from tiergate.store.events import EventQuery, list_events
from tiergate.store.outbox import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiergate.store import ReadUnit

FILTERS: Final = ("type", "customer", "feature", "since", "until")
"""The names of the filters that `read_event_query` knows."""


def read_event_query(filters: Mapping[str, str]) -> EventQuery:
    """Read a query from filters by name; other names are ignored. Several types are separated by commas.

    Raises:
        ParameterError: a value is invalid.
    """
    types = tuple(filters["type"].split(",")) if "type" in filters else ()
    known = [event.value for event in EventType]
    for type_ in types:
        if type_ not in known:
            raise ParameterError("type", f"there is no event `{type_[:100]}`{did_you_mean(nearest(type_, known))}")
    return EventQuery(
        types=types,
        customer=filters.get("customer"),
        feature=filters.get("feature"),
        since=instant_filter(filters, "since"),
        until=instant_filter(filters, "until"),
    )


def show_events(unit: ReadUnit, query: EventQuery, after: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Return one page of events, the oldest first, and the position to continue after, if there are more."""
    found = list_events(unit, query, after, limit + 1)
    page = found[:limit]
    events = [
        {
            **msgspec.json.decode(event.payload, type=dict[str, msgspec.Raw]),
            "position": event.position,
            "recorded_at": format_instant(event.recorded_at),
        }
        for event in page
    ]
    return events, page[-1].position if len(found) > limit else None
