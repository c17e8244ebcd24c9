"""The endpoints of subscriptions, their items, the steps of their life cycle, billing and changes of plan."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from tiergate.admin import billing, subscriptions
from tiergate.admin.json_members import subject_id_at
from tiergate.admin.subscription_lifecycle import STEPS
from tiergate.catalog import MAX_QUANTITY, escape_pointer
from tiergate.control.api.customers import the_customer
from tiergate.control.api.external_ids import external_id_parameter
from tiergate.control.api.request_values import (
    MERGE_PATCH,
    enum_list_parameter,
    strip_answer_members,
    strip_as_of,
    text_parameter,
)
from tiergate.control.api.responses import page_response, reading
from tiergate.control.api.router import BriefEndpoint, Endpoint
from tiergate.control.api.subject_requests import (
    ACCEPT_LOSS,
    AS_OF,
    change_subject,
    read_instant,
    tags_parameter,
    write_conditions,
    writing,
)
from tiergate.errors import BodyError, BodyProblem
from tiergate.model import SubscriptionStatus
from tiergate.model.subscription_state import SubscriptionState
from tiergate.permissions import Action, Resource
from tiergate.store.subscriptions import SubscriptionFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.subscription_lifecycle import Step
    from tiergate.control.api.request import AdminRequest, Response
    from tiergate.publish.publisher import Publisher

_ALL: Final = "/v1/subscriptions"
_PATH: Final = f"{_ALL}/{{subscription}}"
_ITEM: Final = f"{_PATH}/items/{{item}}"
_OF_CUSTOMER: Final = "/v1/customers/{customer}/subscriptions"
_FILTERS: Final = ("text", "status", "state", "item", "version", "feature", "external_id")
_CUSTOMER: Final = ("customer",)
_LOSS: Final = (ACCEPT_LOSS,)
_MOST_VERSIONS: Final = 10**9


def endpoints(publisher: Publisher | None = None) -> list[Endpoint]:
    """Return the routes. With a `publisher`, an item can be pinned to versions that are no longer published."""
    view, edit, items, pin = Action.VIEW, Action.EDIT_SUBSCRIPTION, Action.EDIT_ENTITLEMENT, Action.PIN_VERSION
    listed = ("customer", "tag", *_FILTERS)
    store, one, named = Resource.store(), the_subscription, named_subscription
    put, patch = writing(subscriptions.put_subscription, _ALL), writing(subscriptions.patch_subscription)
    add = writing(subscriptions.add_item, _ALL, strip_as_of)
    edit_item = writing(subscriptions.patch_item, strip=strip_as_of)
    pin_version = partial(pin_item, publisher)
    pin_version.__doc__ = pin_item.__doc__
    return [
        Endpoint("GET", _ALL, view, list_subscriptions, store, query=listed, paged=True, subjects=_CUSTOMER),
        BriefEndpoint("POST", _ALL, edit, create_subscription, named, subjects=_CUSTOMER),
        Endpoint("GET", _OF_CUSTOMER, view, list_subscriptions, the_customer, query=_FILTERS, paged=True),
        BriefEndpoint("POST", _OF_CUSTOMER, edit, create_subscription, named),
        Endpoint("GET", _PATH, view, reading(subscriptions.read_subscription), one),
        BriefEndpoint("PUT", _PATH, edit, put, named, query=_LOSS, subjects=_CUSTOMER),
        BriefEndpoint("PATCH", _PATH, edit, patch, one, query=_LOSS, media_types=MERGE_PATCH),
        BriefEndpoint("DELETE", _PATH, edit, writing(subscriptions.remove_subscription), one, query=(AS_OF,)),
        BriefEndpoint("POST", f"{_PATH}/items", items, add, one, query=_LOSS),
        BriefEndpoint("PATCH", _ITEM, items, edit_item, one, query=_LOSS, media_types=MERGE_PATCH),
        BriefEndpoint("DELETE", _ITEM, items, writing(subscriptions.remove_item), one, query=(ACCEPT_LOSS, AS_OF)),
        Endpoint("PUT", f"{_ITEM}/pin", pin, pin_version, one, query=_LOSS),
        BriefEndpoint("DELETE", f"{_ITEM}/pin", pin, unpin_item, one, query=(ACCEPT_LOSS, AS_OF)),
        *(
            BriefEndpoint("POST", f"{_PATH}/{name}", edit, _step_handler(name, step), one)
            for name, step in STEPS.items()
        ),
        BriefEndpoint("PUT", f"{_PATH}/billing", edit, writing(billing.put_billing, _ALL), named, subjects=_CUSTOMER),
        BriefEndpoint("POST", f"{_PATH}/change", items, change_plan, one),
        BriefEndpoint("DELETE", f"{_PATH}/change", items, writing(billing.withdraw_change), one, query=(AS_OF,)),
    ]


def the_subscription(request: AdminRequest) -> Resource:
    """Return the subscription of the path."""
    id_ = request.params["subscription"]
    return Resource.subscription(id_, request.read(lambda unit: unit.customer_of(id_)))


def named_subscription(request: AdminRequest) -> Resource:
    """Return the subscription of the path or the body, of the customer that has or will have it."""
    id_ = request.params.get("subscription") or subject_id_at(request.body, "id")
    customer = request.read(lambda unit: unit.customer_of(id_)) if "subscription" in request.params else None
    customer = customer or request.params.get("customer") or subject_id_at(request.body, "customer")
    return Resource.subscription(id_, customer)


# ── As wholes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def list_subscriptions(request: AdminRequest) -> Response:
    """List subscriptions, by id; by `customer`, its `tag`s, `text`, `status`, `state`, `item`, its pin, `feature`."""
    query = request.query
    wanted = SubscriptionFilter(
        customer=request.params.get("customer", query.get("customer")),
        tags=tags_parameter(request),
        text=text_parameter(request),
        statuses=enum_list_parameter(request, "status", SubscriptionStatus),
        states=enum_list_parameter(request, "state", SubscriptionState),
        item=query.get("item"),
        version=request.number("version", 0, least=1, most=_MOST_VERSIONS) or None,
        feature=query.get("feature"),
        external_id=external_id_parameter(request),
    )
    after, limit = request.cursor or "", request.limit
    return page_response(request.read(lambda unit: subscriptions.list_subscriptions(unit, wanted, after, limit)))


def create_subscription(request: AdminRequest) -> Response:
    """Create a subscription of a customer that exists."""
    customer, text = request.params.get("customer"), strip_answer_members(request.body)
    return change_subject(request, subscriptions.create_subscription, customer, text, collection=_ALL)


# ── Items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    as_of: str | None = None  # read by `write_conditions`


def pin_item(publisher: Publisher | None, request: AdminRequest) -> Response:
    """Keep an item of a subscription at a version, whatever is rolled out."""
    version = request.decode(_Pin).version
    id_, item = request.params.values()
    if publisher is not None:
        conditions = write_conditions(request)
        subscriptions.publish_pinned_version(request.actor, publisher, id_, item, version, conditions)
    return change_subject(request, subscriptions.pin_item, id_, item, version)


def unpin_item(request: AdminRequest) -> Response:
    """Let an item of a subscription follow the rollouts again."""
    return change_subject(request, subscriptions.pin_item, *request.params.values(), None)


# ── Steps of the life cycle ──────────────────────────────────────────────────────────────────────────────────────────


def _step_handler(name: str, step: Step) -> Callable[[AdminRequest], Response]:
    handler = partial(_take_step, name, step)
    handler.__doc__ = step.summary
    handler.__name__ = name.replace("-", "_")  # type: ignore[attr-defined]
    return handler


def _take_step(name: str, step: Step, request: AdminRequest) -> Response:
    body = request.decode(dict[str, str]) if request.body else {}
    body.pop(AS_OF, None)
    allowed = f"only `{step.date}` is allowed" if step.date else "none is allowed"
    problems = [
        BodyProblem(f"/{escape_pointer(key)}", "unknown-key", f"no key `{key[:100]}` here: {allowed}")
        for key in body
        if key != step.date
    ]
    if step.required and not body:
        problems.append(BodyProblem("", "missing-key", f"the key `{step.date}` is missing"))
    if problems:
        raise BodyError(problems)
    date = read_instant(body[step.date], f"/{step.date}") if step.date in body else None
    return change_subject(request, subscriptions.take_step, request.params["subscription"], name, date)


# ── Billing and changes of plan ──────────────────────────────────────────────────────────────────────────────────────


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: str
    at: str = "now"
    quantity: Annotated[int, msgspec.Meta(ge=1, le=MAX_QUANTITY)] | None = None
    from_item: str | None = None
    addons: Literal["keep", "end"] = "keep"
    as_of: str | None = None  # read by `write_conditions`


def change_plan(request: AdminRequest) -> Response:
    """Change the plan: `at` now, an instant, or the `term_end`, in place of a change that was scheduled before.

    `addons`: whether items that the new plan does not allow end with the old one, or block the change.
    """
    id_, body = request.params["subscription"], request.decode(_Change)
    at = body.at if body.at in {"now", "term_end"} else read_instant(body.at, "/at")
    wanted = billing.PlanChangeRequest(body.to, at, body.quantity, body.from_item, body.addons == "end")
    return change_subject(request, billing.change_plan, id_, wanted)
