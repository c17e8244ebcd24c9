"""Findings about subjects: overrides that lower, repeat or never act, and items that never count.

They are warnings for the author of a file. An override is compared with the record without it, at every instant from
`now` on at which something starts or ends, and as if all subscriptions counted. What has ended is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from tiergate.catalog import override_data
from tiergate.engine.active_items import resolve_active_items
from tiergate.impact.subject_change.change_effects import RecordChange, ever_differs, has_ended, subject_effects
from tiergate.impact.subject_change.override_effects import OverrideLocation
from tiergate.impact.subject_change.shown_values import describe_entitlement, entitlement_form
from tiergate.model import (
    FOREVER,
    Customer,
    Instant,
    ItemStatus,
    OverrideMode,
    Subject,
    SubjectRecord,
    SubjectType,
    SubscriptionStatus,
    format_instant,
)
from tiergate.naming import item_ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.model import CatalogIndex, Subscription, SubscriptionItem

SUBJECT_CODES = {
    "draft-item-held": "a subscription that has a draft, which gives nothing",
    "item-never-counts": "an item of a subscription that never counts",
    "override-below-plan": "an override that lowers what its customer or subscription would have",
    "override-without-effect": "an override that can do nothing",
    "redundant-override": "an override without which its customer or subscription has as much",
}
"""Each code with its meaning; see docs/reference/lint.md."""

_MOST_WINDOWS = 1_000


class SubjectFinding(NamedTuple):
    """A finding about entry `number` in a list of `owner`.

    `part`: `overrides` or `items`. `owner`: the id of a subscription, empty for the customer.
    """

    part: str
    owner: str
    number: int
    code: str
    message: str


def can_have_findings(subject: Customer | Subscription, index: CatalogIndex) -> bool:
    """Return whether there can be a finding about a customer because of this subject."""
    if subject.overrides:
        return True
    if isinstance(subject, Customer):
        return False
    items = [found for held in subject.items if (found := index.items.get(held.item)) is not None]
    return any(item.status is ItemStatus.DRAFT or item.available_for or item.depends_on for item in items)


def lint_record(record: SubjectRecord, source: CatalogDefinitions, now: Instant) -> Iterator[SubjectFinding]:
    """Yield the findings about one customer and its subscriptions, in order."""
    for number, override in enumerate(record.customer.overrides):
        yield from _of_override(record, source, OverrideLocation(None, override), number, now)
    for subscription in record.subscriptions:
        for number, override in enumerate(subscription.overrides):
            yield from _of_override(record, source, OverrideLocation(subscription.id, override), number, now)
        if not has_ended(subscription, now):
            yield from _of_items(record, subscription, source, now)


def _of_override(
    record: SubjectRecord, source: CatalogDefinitions, location: OverrideLocation, number: int, now: Instant
) -> Iterator[SubjectFinding]:
    override = location.override
    if override.until <= now or override.feature not in source.index.features:
        return

    def finding(code: str, message: str) -> SubjectFinding:
        return SubjectFinding(
            "overrides", location.owner or "", number, code, f"the override `{override.id}` {message}"
        )

    if not ever_differs(location.without(record), record, override.feature, source, now):
        blocker = location.find_blocker(record, source, now)
        if blocker is not None:
            whose = "the" if blocker.owner == location.owner else "the customer's"
            message = f"has no effect: {whose} override `{blocker.override.id}` takes precedence"
            yield finding("override-without-effect", message)
        else:
            yield finding("redundant-override", f"changes nothing: `{override.feature}` is the same without it")
    elif override.mode is not OverrideMode.DISABLED:
        bare = location.keep(record, lambda it: it.feature != override.feature)
        alone = location.keep(record, lambda it: it.feature != override.feature or it.id == override.id)
        change = RecordChange(bare, alone, frozenset({override.feature}))
        lowered = next((effect for effect in subject_effects(change, source, now) if effect.effect.reduces), None)
        if lowered is not None:
            value = override_data(override, source.index.features).get("value")
            since = "" if lowered.since <= now else f", from {format_instant(lowered.since)} on"
            before = _shown(entitlement_form(lowered.before.value, lowered.before.overage))
            message = f"lowers `{override.feature}` to {_shown(value)}: without it, it is {before}{since}"
            yield finding("override-below-plan", message)


def _shown(value: object) -> str:
    return "nothing" if value is None else f"`{describe_entitlement(value)}`"


# ── Items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_items(
    record: SubjectRecord, subscription: Subscription, source: CatalogDefinitions, now: Instant
) -> Iterator[SubjectFinding]:
    """Yield the items of a subscription that never count from `now` on, whatever its status becomes."""
    suspects = [(number, held) for number, held in enumerate(subscription.items) if _may_be_idle(held, source, now)]
    if not suspects:
        return
    counting = _counting(record.customer, subscription, source, now)
    for number, held in suspects:
        item = source.index.items[held.item]
        if item.status is ItemStatus.DRAFT:
            message = f"`{held.item}` is a draft, and gives the subscription `{subscription.id}` nothing"
            yield SubjectFinding("items", subscription.id, number, "draft-item-held", message)
        elif item_ref(item.kind, item.id) not in counting:
            message = f"`{held.item}` never counts in `{subscription.id}`: {_base(held, source)} never counts with it"
            yield SubjectFinding("items", subscription.id, number, "item-never-counts", message)


def _may_be_idle(held: SubscriptionItem, source: CatalogDefinitions, now: Instant) -> bool:
    item = source.index.items.get(held.item)
    if item is None or held.until <= now or held.start >= held.until:
        return False
    return item.status is ItemStatus.DRAFT or bool(item.available_for or item.depends_on)


def _base(held: SubscriptionItem, source: CatalogDefinitions) -> str:
    item = source.index.items[held.item]
    plans = " or ".join(f"`{value}`" for value in item.available_for[:3])
    needed = " and ".join(f"`{it}`" for it in item.depends_on[:3])
    return f"{plans}, or {needed}," if plans and needed else plans or needed


def _counting(customer: Customer, subscription: Subscription, source: CatalogDefinitions, now: Instant) -> set[str]:
    """Return the items that count at some instant from `now` on, if the subscription is active."""
    alive = replace(subscription, status=SubscriptionStatus.ACTIVE)
    record = SubjectRecord(customer, (alive,))
    subject = Subject(subscription.id, SubjectType.SUBSCRIPTION)
    result: set[str] = set()
    at = now
    for _ in range(_MOST_WINDOWS):
        holdings = resolve_active_items(record, subject, source.index, at)
        result.update(version.item for subscription in holdings.subscriptions for version in subscription.versions)
        at = holdings.until
        if at >= FOREVER:
            break
    return result
