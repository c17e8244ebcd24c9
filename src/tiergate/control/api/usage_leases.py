"""The endpoints of leases: which sidecar holds what of whom, and writing off those of a sidecar that is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from tiergate.admin import usage_leases
from tiergate.control.api.request import Response
from tiergate.control.api.router import Endpoint
from tiergate.permissions import Action, Resource
from tiergate.store.usage_leases import LeaseFilter

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest
    from tiergate.store.usage_ledger import UsageLedger


class WantedWriteOff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which leases to write off, and as what."""

    holder: str
    customer: str | None = None
    feature: str | None = None
    spent: Literal["all", "none"] = "all"


class _Whose(msgspec.Struct, frozen=True):
    customer: str | None = None


class UsageLeaseEndpoints:
    """The endpoints of one ledger."""

    def __init__(self, ledger: UsageLedger) -> None:
        self._ledger = ledger

    def endpoints(self) -> list[Endpoint]:
        """Return the routes."""
        query, of, path = ("customer", "feature", "holder"), ("customer",), "/v1/usage/leases"
        edit = Action.EDIT_ENTITLEMENT
        return [
            Endpoint("GET", path, Action.VIEW, list_leases, _whose, query=query, paged=True, subjects=of),
            Endpoint("POST", f"{path}/write-off", edit, self.write_off, _whose_of_body, subjects=of),
        ]

    def write_off(self, request: AdminRequest) -> Response:
        """Give up the expired leases of a sidecar that is lost, as spent or as not spent, with a reason."""
        wanted = request.decode(WantedWriteOff)
        leases = LeaseFilter(wanted.customer, wanted.feature, wanted.holder)
        spent = wanted.spent == "all"
        return request.change(
            lambda unit: Response.json(usage_leases.write_off(request.actor, unit, self._ledger, leases, spent=spent))
        )


def list_leases(request: AdminRequest) -> Response:
    """List which sidecar holds units of whom, until when, and whether it has expired."""
    query = request.query
    wanted = LeaseFilter(query.get("customer"), query.get("feature"), query.get("holder"))
    items, cursor = request.read(lambda unit: usage_leases.list_leases(unit, wanted, request.cursor, request.limit))
    return Response.page(items, cursor)


def _whose(request: AdminRequest) -> Resource:
    customer = request.query.get("customer")
    return Resource.store() if customer is None else Resource.customer_of(customer)


def _whose_of_body(request: AdminRequest) -> Resource:
    """Return the customer that a body names; everybody for one that cannot be read, which is refused afterwards."""
    try:
        return usage_leases.whose_leases(msgspec.json.decode(request.body, type=_Whose).customer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return usage_leases.whose_leases(None)
