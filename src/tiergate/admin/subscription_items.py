"""The items of a subscription: add, change and remove them, and pin them to a version.

All functions raise `NotFoundError` or `ConflictError` if the subscription does not have the item in exactly one entry,
`BodyError` if the items are not possible together, and the errors of `change_subscription`.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from tiergate.admin.customer_validation import validator_for
from tiergate.admin.subscriptions import apply_patch, change_subscription
from tiergate.admin.write_order import WriteConditions, read_order
from tiergate.catalog import apply_merge_patch, read_subject_body, subscription_data, subscription_item_data
from tiergate.errors import BodyError, BodyProblem, ConflictError, NotFoundError
from tiergate.model import SubjectType, Subscription, SubscriptionItem
from tiergate.publish.immediate_planner import plan_pins
from tiergate.store.subscriptions import get_subscription
from tiergate.store.write_order import Side

if TYPE_CHECKING:
    from tiergate.admin.actor import Actor
    from tiergate.admin.results import SubjectResult
    from tiergate.model import Instant
    from tiergate.publish.publisher import Publisher
    from tiergate.store import ReadUnit, WriteUnit
    from tiergate.store.customers import Account

_PEOPLE: Final = (Side.PEOPLE,)
_MOST_LISTED: Final = 12


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
        place = _find(before, item, unit.now)
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
        place = _find(before, item, unit.now)
        return with_items(unit, account, before, before.items[:place] + before.items[place + 1 :])

    return change_subscription(actor, unit, subscription, edit, conditions, verb="item_removed")


def pin_item(
    actor: Actor, unit: WriteUnit, subscription: str, item: str, version: int | None, conditions: WriteConditions
) -> SubjectResult:
    """Keep an item at a version, or let it follow the rollouts again (`None`)."""

    def edit(_: Account, before: Subscription) -> Subscription:
        place = _find(before, item, unit.now)
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
        _find(get_subscription(unit.session, subscription).subscription, item, unit.now)
        indexed = unit.published.index.items.get(item)
        return indexed is not None and version not in indexed.versions

    if publisher.store.read(is_missing):
        note = f"`{subscription}` is pinned to `{item}` {version}"
        with suppress(NotFoundError):  # there was never such a version: the pin is rejected
            publisher.publish(plan_pins({item: [version]}, note), lambda work: actor.change(publisher.store, work))


def _find(subscription: Subscription, item: str, now: Instant) -> int:
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
