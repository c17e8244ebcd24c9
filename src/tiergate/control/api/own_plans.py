"""Plans that buyers put together themselves, from features that are offered for it.

One item per customer, or per subscription, holds the plan: saving again publishes its next version, and what stood in
the subscription as a plan before makes room. So nothing adds up, and nothing is left behind.

The action `ownPlan` is all that is needed, and allows nothing else: a key that is narrowed to a customer and to this
action can be given to a page of that customer.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tiergate.admin.conflicts import reject_conflicts
from tiergate.admin.custom_plan_items import OWN_PREFIX, SELF_SERVICE, own_plan
from tiergate.admin.items import item_view
from tiergate.catalog import (
    check_draft,
    entitlements_data,
    escape_pointer,
    item_head_data,
    read_entitlements_body,
    read_item_body,
    to_json_line,
)
from tiergate.catalog.checks.item_compatibility import ItemCompatibility
from tiergate.control.api.answers import view_data
from tiergate.control.api.bodies import decode_parts
from tiergate.control.api.custom_plans import expect_customer, expect_holder
from tiergate.control.api.customers import the_customer
from tiergate.control.api.request import Answer
from tiergate.control.api.router import Endpoint
from tiergate.control.api.subject_changes import save_subscription, subscription_answer
from tiergate.control.api.subject_loss_gate import ACCEPT_LOSS, refuse_swap_loss
from tiergate.control.api.subscription_steps import with_items
from tiergate.control.api.subscriptions import open_holder
from tiergate.errors import BodyError, BodyProblem, ConflictError
from tiergate.model import Definition, ItemKind, PlansPerSubscription, Rollout, SubscriptionItem
from tiergate.permissions import Action, Resource
from tiergate.publish.publish_plans import replace_catalog
from tiergate.store.customers import open_account
from tiergate.store.items import find_item

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.catalog import PlainData
    from tiergate.control.api.request import AdminRequest
    from tiergate.model import Catalog, Item, Subscription, Value
    from tiergate.publish.publish_result import PublishResult
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit, WriteUnit

_GRANTED: Final = frozenset({Action.EDIT_ENTITLEMENT, Action.PIN_VERSION})
"""What `ownPlan` allows besides, for the one change that it is for."""


def endpoints(publisher: Publisher) -> list[Endpoint]:
    """The routes."""
    found = []
    for method, status in (("PUT", 200), ("POST", 201)):
        handler = partial(save_own_plan, publisher, status)
        handler.__doc__ = save_own_plan.__doc__
        found.append(
            Endpoint(
                method,
                "/v1/customers/{customer}/plan",
                Action.OWN_PLAN,
                handler,
                the_customer,
                query=("subscription", ACCEPT_LOSS),
                subjects=("subscription",),
            )
        )
    return found


class _OwnPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    features: dict[str, msgspec.Raw]
    id: str | None = None
    name: str = ""


def save_own_plan(publisher: Publisher, status: int, request: AdminRequest) -> Answer:
    """Set the plan that a customer put together from features with the tag `self-service`, in place of the one before.

    `subscription`: one of its own that is to hold it, in place of its plan.
    """
    customer, holder = request.params["customer"], request.query.get("subscription")
    wanted = decode_parts(request, _OwnPlan)
    id_ = wanted.id or _own_id(customer, holder)
    if wanted.id is not None:
        request.require(Action.SELL_CUSTOM, Resource.item(wanted.id, customer))

    def read(unit: ReadUnit) -> tuple[Item, dict[str, Value]]:
        expect_customer(unit, customer)
        item, given = _read(unit, customer, id_, wanted)
        if holder is not None:  # before anything is published for nothing
            expect_holder(unit, customer, holder)
            _expect_possible(request, unit, customer, holder, item, given)
        return item, given

    item, given = request.read(read)
    features = request.read(lambda unit: unit.published.index.features)
    data: dict[str, PlainData] = {**item_head_data(item), "entitlements": entitlements_data(given, features)}

    def run(work: Callable[[WriteUnit], PublishResult]) -> Answer:
        def once(unit: WriteUnit) -> Answer:
            open_account(unit, customer)
            outcome = work(unit)
            stored = find_item(unit, item.id)
            if stored.item.private_to != customer or stored.item.kind is not ItemKind.PLAN:
                raise ConflictError("already-exists", f"there is an item `{item.id}` already")
            said = {**data, **view_data(item_view(unit, stored)), "publication": outcome.sequence}
            return Answer.json(said, status, location=f"/v1/items/{item.id}" if status == 201 else None)

        return request.change(once)

    answer = publisher.publish(own_plan(item, given, data), run)
    if holder is None or not isinstance(answer.body, bytes):
        return answer
    saved = msgspec.json.decode(answer.body)  # sent again with its key, it is what was saved then
    held = request.write(lambda unit: _hold(request, unit, holder, str(saved["id"])))
    return Answer.json({**saved, "subscription": held}, status, location=answer.headers.get("location"))


def _own_id(customer: str, subscription: str | None) -> str:
    """The id of the item that holds the own plan of a customer, or of one of its subscriptions."""
    text = customer if subscription is None else f"{customer}\n{subscription}"
    return OWN_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(unit: ReadUnit, customer: str, id_: str, wanted: _OwnPlan) -> tuple[Item, dict[str, Value]]:
    features = unit.published.catalog.features
    offered = {id_: feature for id_, feature in features.items() if SELF_SERVICE in feature.tags}
    problems = [
        BodyProblem(
            f"/features/{escape_pointer(feature)}",
            "not-offered",
            f"`{feature[:100]}` is not among the features to choose",
        )
        for feature in wanted.features
        if feature not in offered
    ]
    if problems:
        raise BodyError(problems)
    try:
        given = read_entitlements_body(msgspec.json.encode({"entitlements": wanted.features}), offered)
        head: dict[str, PlainData] = {"id": id_, "kind": "plan", "private_to": customer}
        found = read_item_body(to_json_line(head | ({"name": wanted.name} if wanted.name else {})), features, {})
    except BodyError as error:
        raise BodyError([_own_pointer(one) for one in error.problems]) from None
    reject_conflicts(check_draft(given, (), features))
    return found.item, given


def _own_pointer(problem: BodyProblem) -> BodyProblem:
    pointer = problem.pointer
    if pointer.startswith("/entitlements"):
        pointer = "/features" + pointer.removeprefix("/entitlements")
    return BodyProblem(pointer, problem.code, problem.detail, problem.suggestion)


# ── In a subscription ────────────────────────────────────────────────────────────────────────────────────────────────


def _is_own(catalog: Catalog, id_: str, customer: str) -> bool:
    item = catalog.items.get(id_)
    return id_.startswith(OWN_PREFIX) and item is not None and item.private_to == customer


def _makes_room(catalog: Catalog, held: SubscriptionItem, customer: str) -> bool:
    """Say whether an item of a subscription goes where its customer's own plan comes."""
    item = catalog.items.get(held.item)
    is_plan = item is not None and item.kind is ItemKind.PLAN
    return _is_own(catalog, held.item, customer) or (is_plan and catalog.plans is PlansPerSubscription.ONE)


def _items_with(catalog: Catalog, subscription: Subscription, item: str, now: int) -> tuple[SubscriptionItem, ...]:
    """The items of a subscription with its customer's own plan in place of the plan that it had."""
    known = next((held for held in subscription.items if held.item == item), None)
    added_at = now if known is None else known.added_at
    rest = [it for it in subscription.items if it.item != item and not _makes_room(catalog, it, subscription.customer)]
    return (SubscriptionItem(item, added_at=added_at), *rest)


def _expect_possible(
    request: AdminRequest, unit: ReadUnit, customer: str, holder: str, item: Item, given: dict[str, Value]
) -> None:
    """See that the subscription can hold the plan, and that what goes for it is accepted to go.

    What the customer chose less of in its own plan, it chose; what another plan gave is weighed.

    Raises:
        BodyError: another item cannot be held with it.
        LossError: it takes something that another plan gave.
    """
    catalog, record = unit.published.catalog, unit.record(customer)
    if record is None:
        return
    whole = replace(item, versions=(Definition(1, given),), rollouts=(Rollout(1),))
    after_catalog = replace_catalog(catalog, items={**catalog.items, item.id: whole})
    before = next(it for it in record.subscriptions if it.id == holder)
    after = replace(before, items=_items_with(catalog, before, item.id, unit.now))
    index = after_catalog.index()
    problems = [
        BodyProblem("", code, f"the subscription `{holder}`: {message}")
        for _, code, message in ItemCompatibility(index).violations(after.items, customer)
    ]
    if problems:
        raise BodyError(problems)
    gone = [it for it in before.items if it not in after.items and it.item != item.id]
    if any(not _is_own(catalog, it.item, customer) for it in gone):
        subscriptions = tuple(after if it.id == holder else it for it in record.subscriptions)
        refuse_swap_loss(
            request, record, replace(record, subscriptions=subscriptions), (catalog, after_catalog), unit.now
        )


def _hold(request: AdminRequest, unit: WriteUnit, subscription: str, item: str) -> dict[str, PlainData]:
    """Have a subscription hold its customer's own plan, in place of the plan that it had."""
    account = open_holder(unit, subscription)
    before = account.subscription(subscription).subscription
    items = _items_with(unit.published.catalog, before, item, unit.now)
    if items != before.items:
        after = with_items(unit, account, before, items)
        save_subscription(request, unit, after, account, is_new=False, gated=False, granted=_GRANTED)
    return subscription_answer(account.subscription(subscription), unit)
