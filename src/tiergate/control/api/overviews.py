"""The endpoints of lists across the catalog and across customers: what items give, and what ends by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.admin import endings, given_entitlements
from tiergate.control.api.request import Response
from tiergate.control.api.request_values import enum_list_parameter
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_requests import instant_parameter
from tiergate.model import FOREVER
from tiergate.permissions import Action, Resource
from tiergate.store.endings import EndingFilter, EndingKind

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    view, customer, ends = Action.VIEW, ("customer",), ("type", "from", "until", "customer")
    return [
        Endpoint(
            "GET", "/v1/entitlements", view, list_given, Resource.catalog(), query=("feature", "item"), paged=True
        ),
        Endpoint("GET", "/v1/endings", view, list_endings, _whose, query=ends, paged=True, subjects=customer),
    ]


def _whose(request: AdminRequest) -> Resource:
    customer = request.query.get("customer")
    return Resource.store() if customer is None else Resource.customer_of(customer)


def list_given(request: AdminRequest) -> Response:
    """List which items give what of which features: to new customers, in drafts, and in other versions in use."""
    wanted = given_entitlements.GivenFilter(request.query.get("feature"), request.query.get("item"))
    cursor, limit = request.cursor, request.limit
    return Response.page(*request.read(lambda unit: given_entitlements.list_given(unit, wanted, cursor, limit)))


def list_endings(request: AdminRequest) -> Response:
    """List what ends by the clock, the earliest first: trials, grace, pauses, items, overrides, grants; from now on."""
    kinds = enum_list_parameter(request, "type", EndingKind) or tuple(EndingKind)
    start, until = instant_parameter(request, "from"), instant_parameter(request, "until")
    wanted = EndingFilter(
        request.store.clock() if start is None else start,
        FOREVER if until is None else until,
        request.query.get("customer"),
        frozenset(kinds),
    )
    cursor, limit = request.cursor, request.limit
    return Response.page(*request.read(lambda unit: endings.show_endings(unit, wanted, cursor, limit)))
