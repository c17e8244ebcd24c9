"""The endpoints of customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.admin import customers
from tiergate.admin.json_members import subject_id_at
from tiergate.control.api.external_ids import external_id_parameter
from tiergate.control.api.request_values import MERGE_PATCH, enum_list_parameter, text_parameter
from tiergate.control.api.responses import page_response, reading
from tiergate.control.api.router import BriefEndpoint, Endpoint
from tiergate.control.api.subject_requests import (
    ACCEPT_LOSS,
    AS_OF,
    tags_parameter,
    writing,
)
from tiergate.model import SubscriptionStatus
from tiergate.permissions import Action, Resource
from tiergate.store.customers import CustomerFilter

if TYPE_CHECKING:
    from tiergate.control.api.request import AdminRequest, Response

_ALL = "/v1/customers"
_PATH = f"{_ALL}/{{customer}}"


def endpoints() -> list[Endpoint]:
    """Return the routes."""
    view, edit, patch = Action.VIEW, Action.EDIT_CUSTOMER, writing(customers.patch_customer)
    searched = ("tag", "text", "feature", "item", "status", "external_id")
    return [
        Endpoint("GET", _ALL, view, list_customers, Resource.store(), query=searched, paged=True),
        BriefEndpoint("POST", _ALL, edit, writing(customers.create_customer, _ALL), _named_customer),
        Endpoint("GET", _PATH, view, reading(customers.get_customer), the_customer),
        BriefEndpoint("PUT", _PATH, edit, writing(customers.put_customer, _ALL), the_customer, query=(ACCEPT_LOSS,)),
        BriefEndpoint("PATCH", _PATH, edit, patch, the_customer, query=(ACCEPT_LOSS,), media_types=MERGE_PATCH),
        BriefEndpoint("DELETE", _PATH, edit, writing(customers.remove_customer), the_customer, query=(AS_OF,)),
    ]


def the_customer(request: AdminRequest) -> Resource:
    """Return the customer of the path."""
    return Resource.customer_of(request.params["customer"])


def _named_customer(request: AdminRequest) -> Resource:
    return Resource.customer_of(subject_id_at(request.body, "id"))


def list_customers(request: AdminRequest) -> Response:
    """List customers, by id; `tag` (several with commas: all), `text`, overridden `feature`, held `item`, `status`."""
    query = request.query
    wanted = CustomerFilter(
        tags_parameter(request),
        text_parameter(request),
        query.get("feature"),
        query.get("item"),
        enum_list_parameter(request, "status", SubscriptionStatus),
        external_id_parameter(request),
    )
    after, limit = request.cursor or "", request.limit
    return page_response(request.read(lambda unit: customers.list_customers(unit, wanted, after, limit)))
