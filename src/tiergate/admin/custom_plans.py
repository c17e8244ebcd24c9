"""Sell what no listed plan gives: an item or a plan for one customer, or a plan made from what a subscription has.

An item for one customer is published immediately, by itself. A plan for everybody is a draft, which others publish.

Buyers put together plans of their own from the features that are offered for it. One item per customer, or per
subscription, is the plan: saving it again publishes its next version, and replaces the plan that the subscription had.
So nothing adds up, and nothing is left behind. The action `ownPlan` is all that is needed, and allows nothing else: a
key narrowed to a customer and to this action can be given to a page of that customer.

Functions raise `NotFoundError` if the customer or the subscription does not exist, `ForbiddenError` if the actor may
not sell the item, or choose its id, `BodyError` or `ConflictError` if the catalog or the subscription does not allow
it, `ConflictError` if an item of its id exists, and `LossError` if an own plan reduces what another plan gives, and
this loss is not accepted.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tiergate.admin.catalog_edits import audit_item, reject_conflicts
from tiergate.admin.items import item_view
from tiergate.admin.loss_gate import reject_swap_loss
from tiergate.admin.private_item_publication import OWN_PREFIX, SELF_SERVICE, PrivateItem, private_item
from tiergate.admin.results import View
from tiergate.admin.subject_changes import save_subscription
from tiergate.admin.subject_views import subscription_views
from tiergate.admin.subscription_entitlements import entitlements_of
from tiergate.admin.subscriptions import open_account_of, with_items
from tiergate.catalog import check_draft, escape_pointer, read_entitlements_body, read_item_body, to_json_line
from tiergate.catalog.checks.item_combinations import ItemCompatibility
from tiergate.errors import BodyError, BodyProblem, ConflictError, NotFoundError
from tiergate.model import Definition, ItemKind, ItemStatus, PlansPerSubscription, Rollout, SubscriptionItem
from tiergate.permissions import Action, Resource
from tiergate.publish.changeset import replace_catalog
from tiergate.store.customers import open_account
from tiergate.store.features import lock_catalog, read_features
from tiergate.store.items import add_item, find_item, read_items
from tiergate.store.subjects import read_stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.actor import Actor
    from tiergate.catalog import PlainData
    from tiergate.model import Catalog, Subscription
    from tiergate.publish.publication_stages import PublishResult
    from tiergate.store import ReadUnit, WriteUnit

Items = tuple[SubscriptionItem, ...]

_GRANTED: Final = frozenset({Action.EDIT_ENTITLEMENT, Action.PIN_VERSION})
"""The actions that `ownPlan` includes for the one change that it is for."""


# ── For one customer ─────────────────────────────────────────────────────────────────────────────────────────────────


def prepare_private_item(
    actor: Actor, unit: ReadUnit, customer: str, text: bytes, subscription: str | None
) -> PrivateItem:
    """Read and check an item for one customer, which `plan_private_item` publishes.

    `subscription`: the one of the customer's that will get the item.
    """
    _require_customer(unit, customer)
    catalog = unit.published.catalog
    visible = {
        id_: replace(item, versions=(), rollouts=())
        for id_, item in catalog.items.items()
        if item.private_to in {"", customer}
    }
    body = read_item_body(text, catalog.features, visible, {"private_to": customer})
    if body.draft is None:
        raise BodyError([BodyProblem("", "missing-key", "the key `entitlements` is missing")])
    reject_conflicts(check_draft(body.draft, (), catalog.features))
    actor.require(Action.SELL_CUSTOM, Resource.item(body.item.id, customer))
    if subscription is not None:
        _require_subscription(unit, customer, subscription)
    return private_item(unit, body.item, body.draft)


def _require_customer(unit: ReadUnit, customer: str) -> None:
    if not read_stored(unit.session, [customer], alone=True):
        raise NotFoundError("customer", customer)


def _require_subscription(unit: ReadUnit, customer: str, subscription: str) -> None:
    record = unit.record(customer)
    if record is None or all(it.id != subscription for it in record.subscriptions):
        raise NotFoundError("subscription", subscription)


def sell_item(unit: WriteUnit, sold: PrivateItem, publish: Callable[[WriteUnit], PublishResult]) -> View:
    """Publish an item for one customer; `publish` does it in this transaction."""
    open_account(unit, sold.item.private_to)
    result = publish(unit)
    if not result.is_new:
        raise ConflictError("already-exists", f"the item `{sold.item.id}` exists already")
    return _sold_view(unit, sold, result)


def _sold_view(unit: WriteUnit, sold: PrivateItem, result: PublishResult) -> View:
    view = item_view(unit, find_item(unit, sold.item.id))
    return View({**sold.data, **view.data, "publication": result.sequence}, view.stamp)


def add_to_subscription(actor: Actor, unit: WriteUnit, subscription: str, item: str) -> View:
    """Add an item to a subscription, unless it has the item."""

    def edit(before: Subscription) -> Items:
        has_item = any(entry.item == item for entry in before.items)
        return before.items if has_item else (*before.items, SubscriptionItem(item, added_at=unit.now))

    return _assign(actor, unit, subscription, edit)


def _assign(
    actor: Actor,
    unit: WriteUnit,
    subscription: str,
    edit: Callable[[Subscription], Items],
    accept_loss: str | None = "",
    granted: frozenset[Action] = frozenset(),
) -> View:
    """Save the items that `edit` returns; the rest as for `save_subscription`."""
    account = open_account_of(unit, subscription)
    before = account.subscription(subscription).subscription
    items = edit(before)
    if items != before.items:
        after = with_items(unit, account, before, items)
        save_subscription(actor, unit, after, account, accept_loss=accept_loss, granted=granted)
    return subscription_views([account.subscription(subscription)], unit)[0]


# ── Put together by a customer ────────────────────────────────────────────────────────────────────────────────────────


class OwnPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wanted plan: values of features as JSON text, and the id of its item if it is not to be the default one."""

    features: dict[str, msgspec.Raw]
    id: str | None = None
    name: str = ""


def prepare_own_plan(
    actor: Actor, unit: ReadUnit, customer: str, wanted: OwnPlan, subscription: str | None, accept_loss: str
) -> PrivateItem:
    """Read and check the own plan of a customer, which `plan_own_plan` publishes.

    `subscription`: the one of the customer's that will get the plan, in place of the plan that it has.
    """
    if wanted.id is not None:
        actor.require(Action.SELL_CUSTOM, Resource.item(wanted.id, customer))
    _require_customer(unit, customer)
    plan = _read(unit, customer, wanted.id or _default_id(customer, subscription), wanted)
    if subscription is not None:  # before anything is published
        _require_subscription(unit, customer, subscription)
        _check_swap(unit, customer, subscription, plan, accept_loss)
    return plan


def save_own_plan(unit: WriteUnit, plan: PrivateItem, publish: Callable[[WriteUnit], PublishResult]) -> View:
    """Publish the own plan of a customer; `publish` does it in this transaction."""
    open_account(unit, plan.item.private_to)
    result = publish(unit)
    stored = find_item(unit, plan.item.id).item
    if stored.private_to != plan.item.private_to or stored.kind is not ItemKind.PLAN:
        raise ConflictError("already-exists", f"the item `{plan.item.id}` exists already")
    return _sold_view(unit, plan, result)


def _default_id(customer: str, subscription: str | None) -> str:
    text = customer if subscription is None else f"{customer}\n{subscription}"
    return OWN_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(unit: ReadUnit, customer: str, id_: str, wanted: OwnPlan) -> PrivateItem:
    features = unit.published.catalog.features
    offered = {id_: feature for id_, feature in features.items() if SELF_SERVICE in feature.tags}
    problems = [
        BodyProblem(f"/features/{escape_pointer(id_)}", "not-offered", f"the feature `{id_[:100]}` is not offered")
        for id_ in wanted.features
        if id_ not in offered
    ]
    if problems:
        raise BodyError(problems)
    try:
        entitlements = read_entitlements_body(msgspec.json.encode({"entitlements": wanted.features}), offered)
        head: dict[str, PlainData] = {"id": id_, "kind": "plan", "private_to": customer}
        item = read_item_body(to_json_line(head | ({"name": wanted.name} if wanted.name else {})), features, {}).item
    except BodyError as error:
        raise BodyError([_with_own_pointer(problem) for problem in error.problems]) from None
    reject_conflicts(check_draft(entitlements, (), features))
    return private_item(unit, item, entitlements)


def _with_own_pointer(problem: BodyProblem) -> BodyProblem:
    pointer = problem.pointer
    if pointer.startswith("/entitlements"):
        pointer = "/features" + pointer.removeprefix("/entitlements")
    return BodyProblem(pointer, problem.code, problem.detail, problem.suggestion)


def swap_plan(actor: Actor, unit: WriteUnit, subscription: str, item: str) -> View:
    """Give a subscription the own plan of its customer, in place of the plan that it has.

    `ownPlan` includes the actions of this change.
    """

    def edit(before: Subscription) -> Items:
        return _swapped_items(unit.published.catalog, before, item, unit.now)

    return _assign(actor, unit, subscription, edit, accept_loss=None, granted=_GRANTED)


def _is_own_plan(catalog: Catalog, id_: str, customer: str) -> bool:
    item = catalog.items.get(id_)
    return id_.startswith(OWN_PREFIX) and item is not None and item.private_to == customer


def _makes_room(catalog: Catalog, entry: SubscriptionItem, customer: str) -> bool:
    """Return whether the own plan of a customer replaces an item of a subscription."""
    item = catalog.items.get(entry.item)
    is_plan = item is not None and item.kind is ItemKind.PLAN
    return _is_own_plan(catalog, entry.item, customer) or (is_plan and catalog.plans is PlansPerSubscription.ONE)


def _swapped_items(catalog: Catalog, subscription: Subscription, item: str, now: int) -> tuple[SubscriptionItem, ...]:
    """Return the items of a subscription with the own plan of its customer in place of its plan."""
    present = next((entry for entry in subscription.items if entry.item == item), None)
    added_at = now if present is None else present.added_at
    kept = [it for it in subscription.items if it.item != item and not _makes_room(catalog, it, subscription.customer)]
    return (SubscriptionItem(item, added_at=added_at), *kept)


def _check_swap(unit: ReadUnit, customer: str, subscription: str, plan: PrivateItem, accept_loss: str) -> None:
    """Check that a subscription can have the plan, and that the loss of the plan that it had is accepted.

    What an own plan gives less than the own plan before it is the customer's choice, and not a loss.
    """
    catalog, record = unit.published.catalog, unit.record(customer)
    if record is None:
        return
    item = plan.item
    published = replace(item, versions=(Definition(1, plan.entitlements),), rollouts=(Rollout(1),))
    after_catalog = replace_catalog(catalog, items={**catalog.items, item.id: published})
    before = next(it for it in record.subscriptions if it.id == subscription)
    after = replace(before, items=_swapped_items(catalog, before, item.id, unit.now))
    problems = [
        BodyProblem("", code, f"the subscription `{subscription}`: {message}")
        for _, code, message, _ in ItemCompatibility(after_catalog.index()).violations(after.items, customer)
    ]
    if problems:
        raise BodyError(problems)
    removed = [it for it in before.items if it not in after.items and it.item != item.id]
    if any(not _is_own_plan(catalog, it.item, customer) for it in removed):
        subscriptions = tuple(after if it.id == subscription else it for it in record.subscriptions)
        reject_swap_loss(record, replace(record, subscriptions=subscriptions), after_catalog, unit.now, accept_loss)


# ── For everybody ────────────────────────────────────────────────────────────────────────────────────────────────────


def draft_plan(actor: Actor, unit: WriteUnit, subscription: str, text: bytes) -> View:
    """Draft a plan for everybody that gives what a subscription has now, its overrides included.

    `text`: the JSON text of the item, without entitlements.
    """
    account = open_account_of(unit, subscription)
    lock_catalog(unit)  # after the customer, as where an item is sold
    source = account.subscription(subscription).subscription
    entitlements = entitlements_of(account.customer, source, unit.published, unit.now)
    features = read_features(unit)
    heads = {id_: stored.item for id_, stored in read_items(unit).items()}
    item = read_item_body(text, features, heads, {"kind": "plan"}, with_draft=False).item
    actor.require(Action.SELL_CUSTOM, Resource.item(item.id, item.private_to or None))
    published = unit.published.index.features
    # Archived features stay with the customers that have them, and are not sold any more.
    reject_conflicts(check_draft(entitlements, (), {id_: features.get(id_, published[id_]) for id_ in entitlements}))
    # The item is a draft that nobody can get, so that publishing all pending edits does not sell it half done.
    item = replace(item, status=ItemStatus.DRAFT)
    view = item_view(unit, add_item(unit, item, entitlements))
    data = private_item(unit, item, entitlements).data
    audit_item(unit, "item.created", item, after={**data, "made_of": subscription})
    return View({**view.data, "entitlements": data["entitlements"]}, view.stamp)
