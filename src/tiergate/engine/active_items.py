"""The active items of a subject at an instant, for all features: live subscriptions and their item versions.

The first of the two steps from data to facts. It is done once for a subject and serves all its checks until its window
ends. Pure: a function of the record, the catalog's index and `now`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from tiergate.model import (
    BEGINNING,
    FOREVER,
    AudienceType,
    Customer,
    Instant,
    ItemStatus,
    Override,
    SubjectType,
    SubscriptionStatus,
    Suspension,
)
from tiergate.model.items import SHARE_STEPS
from tiergate.naming import item_ref, version_ref

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tiergate.model import (
        CatalogIndex,
        IndexedItem,
        ItemKind,
        Rollout,
        Subject,
        SubjectRecord,
        Subscription,
        SubscriptionItem,
    )


_NONE_USUAL: Final[Mapping[str, ActiveVersion]] = {}
_ACTIVE, _SUBSCRIPTION = SubscriptionStatus.ACTIVE, SubjectType.SUBSCRIPTION


class ValidityWindow:
    """The instants around `now` within which nothing begins or ends: `start <= now < until`."""

    __slots__ = ("now", "start", "until")

    def __init__(self, now: Instant, start: Instant = BEGINNING, until: Instant = FOREVER) -> None:
        self.now = now
        self.start = start
        self.until = until

    def narrow(self, instant: Instant) -> bool:
        """Narrow the window by an instant at which something changes; return whether it is past."""
        if instant <= self.now:
            self.start = max(self.start, instant)
            return True
        self.until = min(self.until, instant)
        return False

    def contains(self, start: Instant, until: Instant) -> bool:
        """Narrow the window by both ends of an interval; return whether `now` is in it."""
        if start >= until:
            return False
        begun = start == BEGINNING or self.narrow(start)
        return (until == FOREVER or not self.narrow(until)) and begun


class ActiveVersion(msgspec.Struct, frozen=True):
    """An active version of an item, and its quantity. Subjects with the same share it.

    `source`: how a source in the JSON of a decision begins if it is this one.
    """

    item: str
    version: int
    ref: str
    quantity: int
    source: str


@lru_cache(maxsize=16_384)
def active_version(kind: ItemKind, item: str, version: int, quantity: int) -> ActiveVersion:
    """Return the active version of an item, in a quantity."""
    name, ref = item_ref(kind, item), version_ref(kind, item, version)
    return ActiveVersion(name, version, ref, quantity, f'{{"item":"{name}","version":{version},"quantity":{quantity}')


class ActiveSubscription(msgspec.Struct, frozen=True):
    """A live subscription: its active versions, and its own overrides and suspensions."""

    id: str
    versions: tuple[ActiveVersion, ...]
    overrides: tuple[Override, ...]
    suspensions: tuple[Suspension, ...]


class ActiveItems(msgspec.Struct, frozen=True):
    """The active items of a subject within `[start, until)`; `refs` are the item versions, sorted, each once.

    `suspensions` are the subject's own: the customer's, and those of a subscription that is itself the subject, live or
    not. `is_plain`: only items give or take anything; there is no override and no suspension, whatever its time.
    """

    customer: Customer
    suspensions: tuple[Suspension, ...]
    subscriptions: tuple[ActiveSubscription, ...]
    refs: tuple[str, ...]
    start: Instant
    until: Instant
    is_plain: bool = False


def usual_versions(index: CatalogIndex) -> dict[str, ActiveVersion]:
    """Return the version of each item that everybody has at every instant, who has one of it and no version of his own.

    Items that depend on others have none, and neither do those with several rollouts.
    """
    return {
        id_: active_version(item.kind, id_, item.rollouts[0].version, 1)
        for id_, item in index.items.items()
        if item.status is not ItemStatus.DRAFT
        and not item.available_for
        and not item.depends_on
        and _is_for_everybody(item.rollouts)
        and item.rollouts[0].version in item.versions
    }


def resolve_active_items(
    record: SubjectRecord,
    subject: Subject,
    index: CatalogIndex,
    now: Instant,
    usual: Mapping[str, ActiveVersion] = _NONE_USUAL,
) -> ActiveItems:
    """Resolve the active items of a subject at `now`. `usual`: the `usual_versions` of the index, if they are known.

    A subscription as a subject is resolved alone. An item does not count if the catalog does not have it or has it as a
    draft, if it has no active rollout, or if an item that it depends on is missing.
    """
    window = ValidityWindow(now)
    found: list[ActiveSubscription] = []
    refs: set[str] = set()
    suspensions = record.customer.suspensions
    overridden = bool(record.customer.overrides)
    only = subject.id if subject.type is _SUBSCRIPTION else None
    for subscription in record.subscriptions:
        if only is not None:
            if subscription.id != only:
                continue
            suspensions += subscription.suspensions
        if not _always_live(subscription):
            live = subscription.live_interval()
            if not window.contains(live.start, live.until):
                continue
        versions = _usual(subscription, usual)
        if versions is None:
            versions = _versions(subscription, record.customer, index, window)
        for version in versions:
            refs.add(version.ref)
        overridden = overridden or bool(subscription.overrides or subscription.suspensions)
        found.append(ActiveSubscription(subscription.id, versions, subscription.overrides, subscription.suspensions))
    is_plain = not overridden and not suspensions
    return ActiveItems(
        record.customer, suspensions, tuple(found), tuple(sorted(refs)), window.start, window.until, is_plain
    )


def _always_live(subscription: Subscription) -> bool:
    """Whether a subscription has no dates of its own, as most."""
    return subscription.status is _ACTIVE and subscription.start is None and subscription.end is None


def _usual(subscription: Subscription, usual: Mapping[str, ActiveVersion]) -> tuple[ActiveVersion, ...] | None:
    """Return the versions of a subscription if each of its items is a usual one."""
    versions: list[ActiveVersion] = []
    for held in subscription.items:
        version = usual.get(held.item)
        if version is None or held.quantity != 1 or held.version is not None:
            return None
        if held.start != BEGINNING or held.until != FOREVER:
            return None
        versions.append(version)
    return tuple(versions)


def _versions(
    subscription: Subscription, customer: Customer, index: CatalogIndex, window: ValidityWindow
) -> tuple[ActiveVersion, ...]:
    versions: list[ActiveVersion] = []
    items: list[IndexedItem] = []
    based: list[IndexedItem] = []
    for held in subscription.items:
        if (held.start != BEGINNING or held.until != FOREVER) and not window.contains(held.start, held.until):
            continue
        item = index.items.get(held.item)
        if item is None or item.status is ItemStatus.DRAFT:
            continue
        version = held.version
        if version is None:
            version = rolled_out_version(item, held, subscription, customer, window)
        if version is not None and version in item.versions:
            versions.append(active_version(item.kind, item.id, version, held.quantity))
            items.append(item)
            if item.available_for or item.depends_on:
                based.append(item)
    if based:
        known = {item.id: item for item in items}
        for item in based:
            if not _is_based(item, known):
                counting = items_with_bases(known)
                return tuple(version for version, of in zip(versions, items, strict=True) if of.id in counting)
    return tuple(versions)


def items_with_bases(items: Mapping[str, IndexedItem]) -> Collection[str]:
    """Return which items with an active version in one subscription count (design, semantics 3).

    An item counts if one of the plans that it is available for, and all items that it depends on, count: others are
    removed until nothing changes. That changes only when an item begins or ends, which has narrowed the window already.
    """
    counting = dict(items)
    while missing := [id_ for id_, item in counting.items() if not _is_based(item, counting)]:
        for id_ in missing:
            del counting[id_]
    return counting.keys()


def _is_based(item: IndexedItem, counting: Collection[str]) -> bool:
    if item.available_for and not any(plan in counting for plan in item.available_for):
        return False
    return all(needed in counting for needed in item.depends_on)


def rolled_out_version(
    item: IndexedItem, held: SubscriptionItem, subscription: Subscription, customer: Customer, window: ValidityWindow
) -> int | None:
    """Return the version of the last active rollout to this audience, or `None`; narrows `window`."""
    version: int | None = None
    rollouts = item.rollouts
    if _is_for_everybody(rollouts):
        return rollouts[0].version
    for rollout in rollouts:
        if not _in_audience(item, rollout, held, subscription, customer):
            continue
        if rollout.start == BEGINNING or window.narrow(rollout.start):
            version = rollout.version
    return version


def _is_for_everybody(rollouts: Sequence[Rollout]) -> bool:
    """Return whether there is one rollout alone, to everybody, at every instant."""
    if len(rollouts) != 1:
        return False
    (rollout,) = rollouts
    return rollout.start == BEGINNING and rollout.audience.type is AudienceType.EVERYBODY


def _in_audience(
    item: IndexedItem, rollout: Rollout, held: SubscriptionItem, subscription: Subscription, customer: Customer
) -> bool:
    audience = rollout.audience
    if audience.type is AudienceType.EVERYBODY:
        return True
    match audience.type:
        case AudienceType.NEW:
            added = held.added_at if held.added_at is not None else subscription.start
            return added is not None and added >= rollout.start
        case AudienceType.SHARE:
            return share_bucket(customer.id, item.id) < audience.share
        case AudienceType.TAG:
            return audience.tag in customer.tags


def share_bucket(customer: str, item: str) -> int:
    """Return the bucket of a customer for an item, 0 to 9,999: below 2,500 for a share of 25 %. Widening keeps it.

    The first eight bytes, big endian, of SHA-256 of the two ids separated by a line feed, modulo 10,000.
    """
    digest = hashlib.sha256(f"{customer}\n{item}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % SHARE_STEPS
