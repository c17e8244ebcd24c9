"""The endpoint of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tiergate.admin import events
from tiergate.control.api.request import Response
from tiergate.control.api.router import Endpoint
from tiergate.permissions import Action, Resource

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest

_MAX_POSITION: Final = 2**62


def endpoints() -> list[Endpoint]:
    """Return the route."""
    filters = (*events.FILTERS, "after")
    return [
        Endpoint(
            "GET", "/v1/events", Action.VIEW, list_events, _whose, query=filters, paged=True, subjects=("customer",)
        )
    ]


def _whose(request: AdminRequest) -> Resource:
    customer = request.query.get("customer")
    return Resource.store() if customer is None else Resource.customer_of(customer)


def list_events(request: AdminRequest) -> Response:
    """List events, the oldest first; `after` continues after an event's position, also when it was the last."""
    query = events.read_event_query(request.query)
    after = request.number("after", 0, least=0, most=_MAX_POSITION)
    place, limit = max(after, request.number_cursor or 0), request.limit
    found, more = request.read(lambda unit: events.show_events(unit, query, place, limit))
    return Response.page(found, None if more is None else str(more))
