"""The endpoints of plans for one customer: sold ones, ones that it put together itself, and plans made from one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from tiergate.admin import custom_plans, own_plans
from tiergate.admin.private_item_publication import plan_own_plan, plan_private_item
from tiergate.control.api.bodies import decode_parts
from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import Response
from tiergate.control.api.responses import view_data
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_requests import ACCEPT_LOSS, accept_loss_parameter
from tiergate.control.api.subscriptions import the_subscription
from tiergate.permissions import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.actor import Actor
    from tiergate.admin.results import View
    from tiergate.control.api.request import AdminRequest
    from tiergate.publish.publication_stages import PublishResult
    from tiergate.publish.publisher import Publisher
    from tiergate.store import WriteUnit

    Publish = Callable[[WriteUnit], PublishResult]

_SUBSCRIPTION = ("subscription",)


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """Return the routes."""
    sell, own, of_customer = Action.SELL_CUSTOM, Action.OWN_PLAN, "/v1/customers/{customer}"
    query = ("subscription", ACCEPT_LOSS)
    sell_item, put_plan, post_plan = (
        partial(_sell_item, publisher),
        partial(_save_own_plan, publisher, 200),
        partial(_save_own_plan, publisher, 201),
    )
    sell_item.__doc__, put_plan.__doc__, post_plan.__doc__ = (
        _sell_item.__doc__,
        _save_own_plan.__doc__,
        _save_own_plan.__doc__,
    )
    return [
        Endpoint(
            "POST",
            f"{of_customer}/items",
            sell,
            sell_item,
            the_customer,
            query=_SUBSCRIPTION,
            subjects=_SUBSCRIPTION,
        ),
        Endpoint("POST", "/v1/subscriptions/{subscription}/plan", sell, draft_plan, the_subscription),
        Endpoint("PUT", f"{of_customer}/plan", own, put_plan, the_customer, query=query, subjects=_SUBSCRIPTION),
        Endpoint("POST", f"{of_customer}/plan", own, post_plan, the_customer, query=query, subjects=_SUBSCRIPTION),
    ]


def _sell_item(publisher: Publisher, request: AdminRequest) -> Response:
    """Make an item private to a customer, published at once; `subscription`: one of its own that gets it."""
    actor, customer, subscription = request.actor, request.params["customer"], request.query.get("subscription")
    sold = request.read(
        lambda unit: custom_plans.prepare_private_item(actor, unit, customer, request.body, subscription)
    )

    def run(publish: Publish) -> Response:
        return request.change(lambda unit: _answer(custom_plans.sell_item(unit, sold, publish), 201))

    answer = publisher.publish(plan_private_item(sold), run)
    return _with_subscription(request, answer, custom_plans.add_to_subscription)


def _save_own_plan(publisher: Publisher, status: int, request: AdminRequest) -> Response:
    """Set the plan that a customer put together from features with the tag `self-service`, in place of the one before.

    `subscription`: one of its own that gets it, in place of its plan.
    """
    actor, customer, subscription = request.actor, request.params["customer"], request.query.get("subscription")
    wanted, accept_loss = decode_parts(request, own_plans.OwnPlan), accept_loss_parameter(request)
    plan = request.read(
        lambda unit: own_plans.prepare_own_plan(actor, unit, customer, wanted, subscription, accept_loss)
    )

    def run(publish: Publish) -> Response:
        return request.change(lambda unit: _answer(own_plans.save_own_plan(unit, plan, publish), status))

    return _with_subscription(request, publisher.publish(plan_own_plan(plan), run), own_plans.swap_plan)


def _answer(view: View, status: int) -> Response:
    location = f"/v1/items/{view.data['id']}" if status == 201 else None
    return Response.json(view_data(view), status, location=location)


def _with_subscription(
    request: AdminRequest, answer: Response, assign: Callable[[Actor, WriteUnit, str, str], View]
) -> Response:
    """Assign the item of an answer to the subscription of the request, if it names one, and add it to the answer.

    The answer may be one that was kept under the idempotency key of the request: then its item counts.
    """
    subscription = request.query.get("subscription")
    if subscription is None or not isinstance(answer.body, bytes):
        return answer
    data = msgspec.json.decode(answer.body)
    view = request.write(lambda unit: assign(request.actor, unit, subscription, str(data["id"])))
    data["subscription"] = view_data(view)
    return Response.json(data, answer.status, location=answer.headers.get("location"))


def draft_plan(request: AdminRequest) -> Response:
    """Draft a plan, to sell to everybody, that gives what a subscription gives now, its overrides included."""
    id_, body = request.params["subscription"], request.body

    def work(unit: WriteUnit) -> Response:
        view = custom_plans.draft_plan(request.actor, unit, id_, body)
        return Response.json(view_data(view), 201, etag=view.stamp.etag, location=f"/v1/items/{view.data['id']}")

    return request.change(work)
