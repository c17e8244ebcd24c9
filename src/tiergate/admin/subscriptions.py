"""Subscriptions and their items: list, read, create, change and delete them; the steps of the life cycle; pins.

Functions raise `NotFoundError` if the subscription or its customer does not exist, and `ParameterError` as
`list_customers`. Those that write raise `PreconditionError` if the subscription has another version, and the errors of
`save_subscription`. Those of an item raise `NotFoundError` or `ConflictError` if the subscription does not have it in
exactly one entry, and `BodyError` if the items are not possible together.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tiergate.admin.customer_validation import validator_for
from tiergate.admin.customers import expect_known
from tiergate.admin.field_ownership import keep_pins, merge_subscription, named_sides, with_resume_status
from tiergate.admin.json_members import member_names, merge_parts, subject_id_at
from tiergate.admin.results import Page, SubjectResult, View
from tiergate.admin.subject_changes import delete_subscription, save_subscription
from tiergate.admin.subject_views import file_data, state_data, subscription_views
from tiergate.admin.subscription_lifecycle import STEPS, apply_step
from tiergate.admin.write_order import WriteConditions, WriteOrder, read_order
from tiergate.catalog import apply_merge_patch, read_subject_body, subscription_data, subscription_item_data
from tiergate.errors import BodyError, BodyProblem, ConflictError, NotFoundError
from tiergate.model import SubjectType
from tiergate.publish.immediate_planner import plan_pins
from tiergate.store.customers import Account, open_account
from tiergate.store.subscriptions import SubscriptionFilter, get_subscription, search_subscriptions
from tiergate.store.write_order import EVERY_SIDE, Side, applied_writes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tiergate.admin.actor import Actor
    from tiergate.catalog import SubjectReader
    from tiergate.model import Instant, Subscription, SubscriptionItem
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.subjects import StoredSubscription

_KIND = SubjectType.SUBSCRIPTION
_PARTS = ("items", "overrides", "suspensions")
_BILLING = (Side.BILLING,)
_PEOPLE = (Side.PEOPLE,)
_MOST_LISTED: Final = 12


def open_account_of(unit: WriteUnit, subscription: str) -> Account:
    """Lock the customer that has a subscription."""
    customer = unit.customer_of(subscription)
    if customer is None:
        raise NotFoundError("subscription", subscription)
    account = open_account(unit, customer)
    account.subscription(subscription)  # another transaction may have deleted it meanwhile
    return account


def list_subscriptions(unit: ReadUnit, wanted: SubscriptionFilter, after: str, limit: int) -> Page:
    """List subscriptions in the order of their ids, from the one after `after` on."""
    rows = search_subscriptions(unit.session, wanted._replace(now=unit.now), after, limit + 1)
    page = rows[:limit]
    if not page:
        index = validator_for(unit.published, wanted.customer or "").index
        expect_known(index, item=wanted.item, feature=wanted.feature)
    return Page(subscription_views(page, unit), page[-1].subscription.id if len(rows) > limit else None)


def read_subscription(unit: ReadUnit, id_: str) -> View:
    """Read a subscription."""
    stored = get_subscription(unit.session, id_)
    subscription, stamp = stored
    writes = applied_writes(unit.session, _KIND, [id_]).get(id_, {}).values()
    index = unit.published.index
    changed = state_data(subscription, index, stamp.updated_at) != state_data(subscription, index, unit.now)
    changed = changed or any(write.written_at > stamp.updated_at for write in writes)
    return View(subscription_views([stored], unit)[0].data, stamp, changed)


def create_subscription(
    actor: Actor, unit: WriteUnit, customer: str | None, text: bytes, conditions: WriteConditions
) -> SubjectResult:
    """Create a subscription from its JSON text; `customer`: `None` if the text names it."""
    reader = validator_for(unit.published, customer or subject_id_at(text, "customer")).reader
    fixed = {} if customer is None else {"customer": customer}
    subscription = read_subject_body(text, reader.subscription, fixed)
    account = open_account(unit, subscription.customer)
    order = read_order(unit, _KIND, subscription.id, conditions.as_of)
    if order.undoes_deletion():
        return order.outdated_result()
    return add_subscription(actor, unit, account, subscription, order)


def add_subscription(
    actor: Actor,
    unit: WriteUnit,
    account: Account,
    subscription: Subscription,
    order: WriteOrder,
    sides: Collection[Side] = EVERY_SIDE,
) -> SubjectResult:
    """Add a subscription to an account."""
    stored = save_subscription(actor, unit, subscription, account, is_new=True)
    order.record(unit, sides)
    return subscription_result(unit, stored, order, created=True)


def put_subscription(
    actor: Actor, unit: WriteUnit, id_: str, text: bytes, conditions: WriteConditions
) -> SubjectResult:
    """Replace a subscription, or create it. What people own and the body leaves out stays, pins too."""
    if unit.customer_of(id_) is None:
        if conditions.expected.must_exist:
            raise NotFoundError("subscription", id_)
        order = read_order(unit, _KIND, id_, conditions.as_of)
        if order.undoes_deletion():
            return order.outdated_result()
        reader = validator_for(unit.published, subject_id_at(text, "customer")).reader
        subscription = read_subject_body(text, reader.subscription, {"id": id_})
        return add_subscription(actor, unit, open_account(unit, subscription.customer), subscription, order)

    def edit(account: Account, before: Subscription) -> Subscription:
        fixed = {"id": id_, "customer": account.customer.id}
        subscription = read_subject_body(text, subscription_reader(unit, account).subscription, fixed)
        return merge_subscription(subscription, before, member_names(text), unit.now)

    return change_subscription(actor, unit, id_, edit, conditions, sides=EVERY_SIDE)


def change_subscription(
    actor: Actor,
    unit: WriteUnit,
    id_: str,
    edit: Callable[[Account, Subscription], Subscription],
    conditions: WriteConditions,
    *,
    sides: Collection[Side] = _BILLING,
    verb: str | None = None,
    checks_loss: bool = True,
) -> SubjectResult:
    """Save what `edit` returns for a subscription, unless a newer write of these `sides` was applied.

    `verb`, `checks_loss`: as `verb` and `accept_loss` of `save_subscription`.
    """
    account = open_account_of(unit, id_)
    order, stored = read_order(unit, _KIND, id_, conditions.as_of), account.subscription(id_)
    if order.is_outdated(sides):
        return subscription_result(unit, stored, order, applied=False)
    conditions.expected.check("subscription", id_, stored.stamp.etag)
    after = edit(account, stored.subscription)
    accept_loss = conditions.accept_loss if checks_loss else None
    stored = save_subscription(actor, unit, after, account, verb=verb, accept_loss=accept_loss)
    order.record(unit, sides)
    return subscription_result(unit, stored, order)


def patch_subscription(
    actor: Actor, unit: WriteUnit, id_: str, patch: bytes, conditions: WriteConditions
) -> SubjectResult:
    """Change some of a subscription, by a JSON merge patch (RFC 7396)."""

    def edit(account: Account, before: Subscription) -> Subscription:
        subscription = apply_patch(unit, account, before, patch)
        return replace(subscription, items=keep_pins(subscription.items, before.items, unit.now))

    return change_subscription(actor, unit, id_, edit, conditions, sides=named_sides(member_names(patch)))


def apply_patch(unit: WriteUnit, account: Account, before: Subscription, patch: bytes) -> Subscription:
    """Return a subscription of an account with a merge patch applied. Parts that it does not name stay as they are."""
    onto = {"items": [], **file_data(before, unit.published.index)}
    named = member_names(patch)
    if "status" in named and "resumes_as" not in named:
        onto.pop("resumes_as", None)
    data, kept = merge_parts(patch, onto, _PARTS)
    if "items" in kept:  # which every subscription must have
        data = {"items": [], **data}
    fixed = {"id": before.id, "customer": account.customer.id}
    subscription = read_subject_body(data, subscription_reader(unit, account).subscription, fixed)
    subscription = replace(subscription, **{part: getattr(before, part) for part in kept})
    return subscription if "resumes_as" in named else with_resume_status(subscription, before, unit.now)


def subscription_reader(unit: WriteUnit, account: Account) -> SubjectReader:
    """Return the reader of changed subscriptions of an account. It accepts invalid items that they have already."""
    return validator_for(unit.published, account.customer.id).reader.beside(
        lambda id_: account.subscription(id_).subscription.items if account.has_subscription(id_) else ()
    )


def take_step(
    actor: Actor, unit: WriteUnit, id_: str, step: str, date: Instant | None, conditions: WriteConditions
) -> SubjectResult:
    """Take a step of the life cycle, one of `STEPS`. Raises as `apply_step`."""

    def edit(_: Account, before: Subscription) -> Subscription:
        return apply_step(step, before, date, unit.now)

    return change_subscription(actor, unit, id_, edit, conditions, verb=STEPS[step].action)


def remove_subscription(actor: Actor, unit: WriteUnit, id_: str, conditions: WriteConditions) -> SubjectResult:
    """Delete a subscription. `end` ends it and keeps it."""
    account = open_account_of(unit, id_)
    order = read_order(unit, _KIND, id_, conditions.as_of, deletes=True)
    etag = account.subscription(id_).stamp.etag
    if order.is_outdated(EVERY_SIDE):
        return order.outdated_result(etag)
    conditions.expected.check("subscription", id_, etag)
    delete_subscription(actor, unit, account, id_, order.deletion_instant())
    return SubjectResult()


def subscription_result(
    unit: WriteUnit, stored: StoredSubscription, order: WriteOrder, *, applied: bool = True, created: bool = False
) -> SubjectResult:
    """Return the result of a write of a subscription."""
    return order.result(subscription_views([stored], unit)[0], applied=applied, created=created)


# ── Items ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def add_item(
    actor: Actor, unit: WriteUnit, subscription: str, text: bytes, conditions: WriteConditions
) -> SubjectResult:
    """Add an item to a subscription."""

    def edit(account: Account, before: Subscription) -> Subscription:
        entry = read_subject_body(text, validator_for(unit.published, account.customer.id).reader.subscription_item)
        added = replace(entry, added_at=unit.now) if entry.added_at is None else entry
        return with_items(unit, account, before, (*before.items, added))

    result = change_subscription(actor, unit, subscription, edit, conditions, verb="item_added")
    return dataclasses.replace(result, created=result.applied is not False)


def patch_item(
    actor: Actor, unit: WriteUnit, subscription: str, item: str, patch: bytes, conditions: WriteConditions
) -> SubjectResult:
    """Change an item of a subscription by a JSON merge patch: its quantity, its pin, its dates."""

    def edit(account: Account, before: Subscription) -> Subscription:
        place = _find_entry(before, item, unit.now)
        text = apply_merge_patch(patch, subscription_item_data(before.items[place]))
        reader = validator_for(unit.published, account.customer.id).reader
        entry = read_subject_body(text, reader.subscription_item, {"item": item})
        return with_items(unit, account, before, _with_entry(before, place, entry))

    return change_subscription(actor, unit, subscription, edit, conditions, verb="item_changed")


def remove_item(
    actor: Actor, unit: WriteUnit, subscription: str, item: str, conditions: WriteConditions
) -> SubjectResult:
    """Remove an item from a subscription, at once."""

    def edit(account: Account, before: Subscription) -> Subscription:
        place = _find_entry(before, item, unit.now)
        return with_items(unit, account, before, before.items[:place] + before.items[place + 1 :])

    return change_subscription(actor, unit, subscription, edit, conditions, verb="item_removed")


def pin_item(
    actor: Actor, unit: WriteUnit, subscription: str, item: str, version: int | None, conditions: WriteConditions
) -> SubjectResult:
    """Keep an item at a version, or let it follow the rollouts again (`None`)."""

    def edit(_: Account, before: Subscription) -> Subscription:
        place = _find_entry(before, item, unit.now)
        indexed = unit.published.index.items.get(item)
        if version is not None and (indexed is None or version not in indexed.versions):
            listed = "none" if indexed is None else ", ".join(map(str, indexed.versions[-_MOST_LISTED:]))
            detail = f"`{item}` has no version {version}: it has {listed}"
            raise BodyError([BodyProblem("/version", "unknown-version", detail)])
        return replace(before, items=_with_entry(before, place, replace(before.items[place], version=version)))

    verb = "unpinned" if version is None else "pinned"
    return change_subscription(actor, unit, subscription, edit, conditions, sides=_PEOPLE, verb=verb)


def publish_pinned_version(
    actor: Actor, publisher: Publisher, subscription: str, item: str, version: int, conditions: WriteConditions
) -> None:
    """Publish an earlier version of an item again, so that it can be pinned, unless it is published."""

    def is_missing(unit: ReadUnit) -> bool:
        if read_order(unit, SubjectType.SUBSCRIPTION, subscription, conditions.as_of).is_outdated(_PEOPLE):
            return False
        _find_entry(get_subscription(unit.session, subscription).subscription, item, unit.now)
        indexed = unit.published.index.items.get(item)
        return indexed is not None and version not in indexed.versions

    if publisher.store.read(is_missing):
        note = f"`{subscription}` is pinned to `{item}` {version}"
        with suppress(NotFoundError):  # there was never such a version: the pin is rejected
            publisher.publish(plan_pins({item: [version]}, note), lambda work: actor.change(publisher.store, work))


def _find_entry(subscription: Subscription, item: str, now: Instant) -> int:
    """Return the index of the entry with an item; entries that ended count only if there is no other."""
    every = [place for place, entry in enumerate(subscription.items) if entry.item == item]
    found = [place for place in every if subscription.items[place].until > now] or every
    if not found:
        raise NotFoundError("item", item)
    if len(found) > 1:
        detail = f"`{subscription.id}` has {len(found)} entries of `{item}`: change its list of items instead"
        raise ConflictError("ambiguous-item", detail)
    return found[0]


def _with_entry(subscription: Subscription, place: int, entry: SubscriptionItem) -> tuple[SubscriptionItem, ...]:
    return (*subscription.items[:place], entry, *subscription.items[place + 1 :])


def with_items(
    unit: WriteUnit, account: Account, before: Subscription, items: tuple[SubscriptionItem, ...]
) -> Subscription:
    """Return a subscription with other items."""
    listed = subscription_data(replace(before, items=items, overrides=(), suspensions=()), {})["items"]
    return apply_patch(unit, account, before, msgspec.json.encode({"items": listed}))
