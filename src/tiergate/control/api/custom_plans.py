"""The endpoints of plans for one customer: sold ones, ones that it put together itself, and plans made from one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.admin import custom_plans
from tiergate.admin.private_item_publication import plan_own_plan, plan_private_item
from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import Response
from tiergate.control.api.request_values import decode_parts
from tiergate.control.api.responses import view_data, written_response
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


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """Return the routes."""

    def sell_item(request: AdminRequest) -> Response:
        """Make an item private to a customer, published at once; `subscription`: one of its own that gets it."""
        actor, customer, subscription = request.actor, request.params["customer"], request.query.get("subscription")
        sold = request.read(
            lambda unit: custom_plans.prepare_private_item(actor, unit, customer, request.body, subscription)
        )

        def run(publish: Publish) -> Response:
            return request.change(lambda unit: _answer(request, custom_plans.sell_item(unit, sold, publish)))

        response = publisher.publish(plan_private_item(sold), run)
        return _with_subscription(request, response, custom_plans.add_to_subscription)

    def save_own_plan(request: AdminRequest) -> Response:
        """Set the plan that a customer put together from features tagged `self-service`, in place of the one before.

        `subscription`: one of its own that gets it, in place of its plan.
        """
        actor, customer, subscription = request.actor, request.params["customer"], request.query.get("subscription")
        wanted, accept_loss = decode_parts(request, custom_plans.OwnPlan), accept_loss_parameter(request)
        plan = request.read(
            lambda unit: custom_plans.prepare_own_plan(actor, unit, customer, wanted, subscription, accept_loss)
        )

        def run(publish: Publish) -> Response:
            return request.change(lambda unit: _answer(request, custom_plans.save_own_plan(unit, plan, publish)))

        return _with_subscription(request, publisher.publish(plan_own_plan(plan), run), custom_plans.swap_plan)

    sell, own, query = Action.SELL_CUSTOM, Action.OWN_PLAN, ("subscription", ACCEPT_LOSS)
    items, plan, subjects = "/v1/customers/{customer}/items", "/v1/customers/{customer}/plan", ("subscription",)
    return [
        Endpoint("POST", items, sell, sell_item, the_customer, query=subjects, subjects=subjects),
        Endpoint("POST", "/v1/subscriptions/{subscription}/plan", sell, draft_plan, the_subscription),
        Endpoint("PUT", plan, own, save_own_plan, the_customer, query=query, subjects=subjects),
        Endpoint("POST", plan, own, save_own_plan, the_customer, query=query, subjects=subjects),
    ]


def _answer(request: AdminRequest, view: View) -> Response:
    if request.method == "PUT":
        return Response.json(view_data(view))
    return Response.json(view_data(view), 201, location=f"/v1/items/{view.data['id']}")


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
        return written_response(custom_plans.draft_plan(request.actor, unit, id_, body), "/v1/items")

    return request.change(work)
