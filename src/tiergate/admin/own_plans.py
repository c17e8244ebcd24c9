"""Plans that buyers put together themselves, from the features that are offered for it.

One item per customer, or per subscription, is the plan: saving it again publishes its next version, and replaces the
plan that the subscription had. So nothing adds up, and nothing is left behind.

The action `ownPlan` is all that is needed, and allows nothing else: a key narrowed to a customer and to this action can
be given to a page of that customer.

Functions raise `NotFoundError` if the customer or the subscription does not exist, `ForbiddenError` if the actor may
not choose the id of the item, `BodyError` or `ConflictError` if the published catalog or the subscription does not
allow the plan, and `LossError` if it reduces what another plan gives, and this loss is not accepted.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tiergate.admin.catalog_edits import reject_conflicts
from tiergate.admin.custom_plans import require_customer, require_subscription, sold_view
from tiergate.admin.loss_gate import reject_swap_loss
from tiergate.admin.private_item_publication import OWN_PREFIX, SELF_SERVICE, PrivateItem, private_item
from tiergate.admin.subject_changes import save_subscription
from tiergate.admin.subject_views import subscription_views
from tiergate.admin.subscription_items import with_items
from tiergate.admin.subscriptions import open_account_of
from tiergate.catalog import (
    check_draft,
    escape_pointer,
    read_entitlements_body,
    read_item_body,
    to_json_line,
)
from tiergate.catalog.checks.item_combinations import ItemCompatibility
from tiergate.errors import BodyError, BodyProblem, ConflictError
from tiergate.model import Definition, ItemKind, PlansPerSubscription, Rollout, SubscriptionItem
from tiergate.permissions import Action, Resource
from tiergate.publish.changeset import replace_catalog
from tiergate.store.customers import open_account
from tiergate.store.items import find_item

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.actor import Actor
    from tiergate.admin.results import View
    from tiergate.catalog import PlainData
    from tiergate.model import Catalog, Subscription
    from tiergate.publish.publication_stages import PublishResult
    from tiergate.store import ReadUnit, WriteUnit

_GRANTED: Final = frozenset({Action.EDIT_ENTITLEMENT, Action.PIN_VERSION})
"""The actions that `ownPlan` includes for the one change that it is for."""


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
    require_customer(unit, customer)
    plan = _read(unit, customer, wanted.id or _default_id(customer, subscription), wanted)
    if subscription is not None:  # before anything is published
        require_subscription(unit, customer, subscription)
        _check_swap(unit, customer, subscription, plan, accept_loss)
    return plan


def save_own_plan(unit: WriteUnit, plan: PrivateItem, publish: Callable[[WriteUnit], PublishResult]) -> View:
    """Publish the own plan of a customer; `publish` does it in this transaction."""
    open_account(unit, plan.item.private_to)
    result = publish(unit)
    stored = find_item(unit, plan.item.id).item
    if stored.private_to != plan.item.private_to or stored.kind is not ItemKind.PLAN:
        raise ConflictError("already-exists", f"the item `{plan.item.id}` exists already")
    return sold_view(unit, plan, result)


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


# ── In a subscription ────────────────────────────────────────────────────────────────────────────────────────────────


def swap_plan(actor: Actor, unit: WriteUnit, subscription: str, item: str) -> View:
    """Give a subscription the own plan of its customer, in place of the plan that it has.

    Raises as `save_subscription`. `ownPlan` includes the actions of this change.
    """
    account = open_account_of(unit, subscription)
    before = account.subscription(subscription).subscription
    items = _swapped_items(unit.published.catalog, before, item, unit.now)
    if items != before.items:
        after = with_items(unit, account, before, items)
        save_subscription(actor, unit, after, account, accept_loss=None, granted=_GRANTED)
    return subscription_views([account.subscription(subscription)], unit)[0]


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
