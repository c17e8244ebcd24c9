"""Sell what no listed plan gives: an item for one customer, or a plan made from what a subscription has.

An item for one customer is published immediately, by itself. A plan for everybody is a draft, which others publish.

Functions raise `NotFoundError` if the customer or the subscription does not exist, `ForbiddenError` if the actor may
not sell the item, `BodyError` or `ConflictError` if the text is not an item that the catalog allows, and
`ConflictError` if an item of its id exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.admin.catalog_edits import audit_item, reject_conflicts
from tiergate.admin.items import item_view
from tiergate.admin.private_item_publication import PrivateItem, private_item
from tiergate.admin.results import View
from tiergate.admin.subject_changes import save_subscription
from tiergate.admin.subject_views import subscription_views
from tiergate.admin.subscription_entitlements import entitlements_of
from tiergate.admin.subscription_items import with_items
from tiergate.admin.subscriptions import open_account_of
from tiergate.catalog import check_draft, read_item_body
from tiergate.errors import BodyError, BodyProblem, ConflictError, NotFoundError
from tiergate.model import ItemStatus, SubscriptionItem
from tiergate.permissions import Action, Resource
from tiergate.store.customers import open_account
from tiergate.store.features import lock_catalog, read_features
from tiergate.store.items import add_item, find_item, read_items
from tiergate.store.subjects import read_stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiergate.admin.actor import Actor
    from tiergate.publish.publication_stages import PublishResult
    from tiergate.store import ReadUnit, WriteUnit


# ── For one customer ─────────────────────────────────────────────────────────────────────────────────────────────────


def prepare_private_item(
    actor: Actor, unit: ReadUnit, customer: str, text: bytes, subscription: str | None
) -> PrivateItem:
    """Read and check an item for one customer, which `plan_private_item` publishes.

    `subscription`: the one of the customer's that will get the item.
    """
    require_customer(unit, customer)
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
        require_subscription(unit, customer, subscription)
    return private_item(unit, body.item, body.draft)


def require_customer(unit: ReadUnit, customer: str) -> None:
    """Check that a customer exists."""
    if not read_stored(unit.session, [customer], alone=True):
        raise NotFoundError("customer", customer)


def require_subscription(unit: ReadUnit, customer: str, subscription: str) -> None:
    """Check that a customer has a subscription."""
    record = unit.record(customer)
    if record is None or all(it.id != subscription for it in record.subscriptions):
        raise NotFoundError("subscription", subscription)


def sell_item(unit: WriteUnit, sold: PrivateItem, publish: Callable[[WriteUnit], PublishResult]) -> View:
    """Publish an item for one customer; `publish` does it in this transaction."""
    open_account(unit, sold.item.private_to)
    result = publish(unit)
    if not result.is_new:
        raise ConflictError("already-exists", f"the item `{sold.item.id}` exists already")
    return sold_view(unit, sold, result)


def sold_view(unit: WriteUnit, sold: PrivateItem, result: PublishResult) -> View:
    """Return an item that was just published for one customer."""
    view = item_view(unit, find_item(unit, sold.item.id))
    return View({**sold.data, **view.data, "publication": result.sequence}, view.stamp)


def add_to_subscription(actor: Actor, unit: WriteUnit, subscription: str, item: str) -> View:
    """Add an item to a subscription, unless it has the item. Raises as `save_subscription`."""
    account = open_account_of(unit, subscription)
    before = account.subscription(subscription).subscription
    if all(entry.item != item for entry in before.items):
        after = with_items(unit, account, before, (*before.items, SubscriptionItem(item, added_at=unit.now)))
        save_subscription(actor, unit, after, account)
    return subscription_views([account.subscription(subscription)], unit)[0]


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
