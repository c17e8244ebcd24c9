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
    from collections.abc import Callable, Iterator

    from tiergate.impact.subject_change.change_effects import CatalogDefinitions
    from tiergate.model import CatalogIndex, Override, Subscription, SubscriptionItem

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
        yield from _of_override(record, source, _Place("", number, override), now)
    for subscription in record.subscriptions:
        for number, override in enumerate(subscription.overrides):
            yield from _of_override(record, source, _Place(subscription.id, number, override), now)
        if not has_ended(subscription, now):
            yield from _of_items(record, subscription, source, now)


class _Place(NamedTuple):
    """An override, the subscription that has it (empty for the customer), and its position there."""

    owner: str
    number: int
    override: Override

    def finding(self, code: str, message: str) -> SubjectFinding:
        return SubjectFinding(
            "overrides", self.owner, self.number, code, f"the override `{self.override.id}` {message}"
        )


def _of_override(
    record: SubjectRecord, source: CatalogDefinitions, place: _Place, now: Instant
) -> Iterator[SubjectFinding]:
    override = place.override
    if override.until <= now or override.feature not in source.index.features:
        return
    rest = _without(record, place)
    if not ever_differs(rest, record, override.feature, source, now):
        other = _in_its_way(record, source, place, now)
        if other is not None:
            whose = "the" if other.owner == place.owner else "the customer's"
            message = f"has no effect: {whose} override `{other.override.id}` stands before it"
            yield place.finding("override-without-effect", message)
        else:
            yield place.finding("redundant-override", f"changes nothing: `{override.feature}` is the same without it")
    elif override.mode is not OverrideMode.DISABLED:
        bare, alone = _bare(record, place), _bare(record, place, with_it=True)
        change = RecordChange(bare, alone, frozenset({override.feature}))
        lowered = next((effect for effect in subject_effects(change, source, now) if effect.effect.takes), None)
        if lowered is not None:
            shown = override_data(override, source.index.features).get("value")
            holder = "" if lowered.since <= now else f", from {format_instant(lowered.since)} on"
            message = (
                f"lowers `{override.feature}` to {_shown(shown)}: without it, it is {_shown(lowered.before.value)}"
            )
            yield place.finding("override-below-plan", message + holder)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    return "nothing" if value is None else f"`{value}`"


def _in_its_way(record: SubjectRecord, source: CatalogDefinitions, place: _Place, now: Instant) -> _Place | None:
    """Return the other override without which this one would act: of the same subject, or of its customer."""
    for other in _others(record, place):
        rest = _without(record, other)
        if ever_differs(_without(rest, place), rest, place.override.feature, source, now):
            return other
    return None


def _others(record: SubjectRecord, place: _Place) -> Iterator[_Place]:
    holders: list[tuple[str, tuple[Override, ...]]] = [("", record.customer.overrides)]
    if place.owner:
        holders.insert(
            0,
            (
                place.owner,
                next(subscription.overrides for subscription in record.subscriptions if subscription.id == place.owner),
            ),
        )
    for owner, overrides in holders:
        for number, override in enumerate(overrides):
            if override.feature == place.override.feature and (owner, number) != (place.owner, place.number):
                yield _Place(owner, number, override)


def _without(record: SubjectRecord, place: _Place) -> SubjectRecord:
    """Return the record without an override."""
    return _kept(record, place, lambda it: it.id != place.override.id)


def _bare(record: SubjectRecord, place: _Place, *, with_it: bool = False) -> SubjectRecord:
    """Return the record without its holder's overrides on the feature, or with this one alone."""
    feature, own = place.override.feature, place.override.id
    return _kept(record, place, lambda it: it.feature != feature or (with_it and it.id == own))


def _kept(record: SubjectRecord, place: _Place, is_kept: Callable[[Override], bool]) -> SubjectRecord:
    """Return the record with some of the overrides of the holder of one."""

    def rest(overrides: tuple[Override, ...]) -> tuple[Override, ...]:
        return tuple(override for override in overrides if is_kept(override))

    if not place.owner:
        return replace(record, customer=replace(record.customer, overrides=rest(record.customer.overrides)))
    return replace(
        record,
        subscriptions=tuple(
            replace(entry, overrides=rest(entry.overrides)) if entry.id == place.owner else entry
            for entry in record.subscriptions
        ),
    )


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
