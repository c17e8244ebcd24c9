"""The endpoints for what no plan on the list says: an item for one customer, a plan made of what a subscription has.

What is for one customer alone is published at once, by itself. What is for everybody is a draft, for those who publish.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from tiergate.admin.conflicts import reject_conflicts
from tiergate.admin.custom_plan_items import given_by, private_item_plan
from tiergate.admin.items import item_view
from tiergate.catalog import (
    check_draft,
    entitlements_data,
    item_head_data,
    read_item_body,
)
from tiergate.control.api.answers import view_data
from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_changes import save_subscription, subscription_answer
from tiergate.control.api.subscription_steps import with_items
from tiergate.control.api.subscriptions import open_holder, the_subscription
from tiergate.errors import BodyError, BodyProblem, ConflictError, NotFoundError
from tiergate.model import ItemStatus, SubscriptionItem
from tiergate.permissions import Action, Resource
from tiergate.store.customers import open_account
from tiergate.store.features import lock_catalog, read_features
from tiergate.store.items import add_item, find_item, read_items
from tiergate.store.subjects import read_stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.catalog import PlainData
    from tiergate.control.api.request import AdminRequest
    from tiergate.model import Item, Value
    from tiergate.publish.publish_result import PublishResult
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit, WriteUnit


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """The routes."""
    sell, of = Action.SELL_CUSTOM, "/v1/customers/{customer}"
    private = partial(sell_item, publisher)
    private.__doc__ = sell_item.__doc__
    return [
        Endpoint(
            "POST", f"{of}/items", sell, private, the_customer, query=("subscription",), subjects=("subscription",)
        ),
        Endpoint("POST", "/v1/subscriptions/{subscription}/plan", sell, draft_plan, the_subscription),
    ]


# ── For one customer ─────────────────────────────────────────────────────────────────────────────────────────────────


def sell_item(publisher: Publisher, request: AdminRequest) -> Answer:
    """Make an item private to a customer, published at once; `subscription`: one of its own that is to hold it."""
    customer = request.params["customer"]

    def read(unit: ReadUnit) -> tuple[Item, dict[str, Value]]:
        expect_customer(unit, customer)
        catalog = unit.published.catalog
        heads = {id_: replace(item, versions=(), rollouts=()) for id_, item in catalog.items.items()}
        visible = {id_: item for id_, item in heads.items() if item.private_to in {"", customer}}
        found = read_item_body(request.body, catalog.features, visible, {"private_to": customer})
        if found.draft is None:
            raise BodyError([BodyProblem("", "missing-key", "the key `entitlements` is missing")])
        reject_conflicts(check_draft(found.draft, (), catalog.features))
        return found.item, found.draft

    return _sell(publisher, request, *request.read(read))


def expect_customer(unit: ReadUnit, customer: str) -> None:
    """See that there is such a customer.

    Raises:
        NotFoundError: there is none.
    """
    if not read_stored(unit.session, [customer], alone=True):
        raise NotFoundError("customer", customer)


def _sell(publisher: Publisher, request: AdminRequest, item: Item, entitlements: dict[str, Value]) -> Answer:
    request.require(Action.SELL_CUSTOM, Resource.item(item.id, item.private_to))
    holder = request.query.get("subscription")
    if holder is not None:  # before anything is published for nothing
        request.read(lambda unit: expect_holder(unit, item.private_to, holder))
    features = request.read(lambda unit: unit.published.index.features)
    data: dict[str, PlainData] = {**item_head_data(item), "entitlements": entitlements_data(entitlements, features)}

    def run(work: Callable[[WriteUnit], PublishResult]) -> Answer:
        def once(unit: WriteUnit) -> Answer:
            open_account(unit, item.private_to)
            outcome = work(unit)
            if not outcome.is_new:
                raise ConflictError("already-exists", f"there is an item `{item.id}` already")
            said = {**data, **view_data(item_view(unit, find_item(unit, item.id))), "publication": outcome.sequence}
            return Answer.json(said, 201, location=f"/v1/items/{item.id}")

        return request.change(once)

    answer = publisher.publish(private_item_plan(item, entitlements, data), run)
    if holder is None or not isinstance(answer.body, bytes):
        return answer
    sold = msgspec.json.decode(answer.body)  # sent again with its key, it is what was sold then
    held = request.write(lambda unit: _hold(request, unit, holder, str(sold["id"])))
    return Answer.json({**sold, "subscription": held}, 201, location=answer.headers.get("location"))


def expect_holder(unit: ReadUnit, customer: str, subscription: str) -> None:
    """See that a customer has such a subscription.

    Raises:
        NotFoundError: it has none.
    """
    record = unit.record(customer)
    if record is None or all(one.id != subscription for one in record.subscriptions):
        raise NotFoundError("subscription", subscription)


def _hold(request: AdminRequest, unit: WriteUnit, subscription: str, item: str) -> dict[str, PlainData]:
    """Add an item to a subscription, unless it holds it already."""
    account = open_holder(unit, subscription)
    before = account.subscription(subscription).subscription
    if all(held.item != item for held in before.items):
        after = with_items(unit, account, before, (*before.items, SubscriptionItem(item, added_at=unit.now)))
        save_subscription(request, unit, after, account, is_new=False)
    return subscription_answer(account.subscription(subscription), unit)


# ── For everybody ────────────────────────────────────────────────────────────────────────────────────────────────────


def draft_plan(request: AdminRequest) -> Answer:
    """Draft a plan, to sell to everybody, that gives what a subscription gives now, its overrides included."""
    id_ = request.params["subscription"]

    def work(unit: WriteUnit) -> Answer:
        account = open_holder(unit, id_)
        lock_catalog(unit)  # after the customer, as where an item is sold
        held = account.subscription(id_).subscription
        entitlements = given_by(account.customer, held, unit.published, unit.now)
        features = read_features(unit)
        heads = {one: stored.item for one, stored in read_items(unit).items()}
        item = read_item_body(request.body, features, heads, {"kind": "plan"}, with_draft=False).item
        request.require(Action.SELL_CUSTOM, Resource.item(item.id, item.private_to or None))
        known = unit.published.index.features
        # Archived features stay with who has them, and are not sold any more.
        reject_conflicts(check_draft(entitlements, (), {one: features.get(one, known[one]) for one in entitlements}))
        # A draft is given to nobody, so that publishing everything that is pending does not sell what is half done.
        item = replace(item, status=ItemStatus.DRAFT)
        stored = add_item(unit, item, entitlements)
        data = {**item_head_data(item), "entitlements": entitlements_data(entitlements, known)}
        unit.audit("item.created", "item", item.id, after={**data, "made_of": id_}, customer=item.private_to or None)
        said = {**view_data(item_view(unit, stored)), "entitlements": data["entitlements"]}
        return Answer.json(said, 201, etag=stored.stamp.etag, location=f"/v1/items/{item.id}")

    return request.change(work)
