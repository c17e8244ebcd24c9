"""Change the plan of a subscription at an instant, without a gap or an overlap. Pure.

The plans of a subscription follow one another as entries of its items: each lasts until the next one starts. A change
replaces the plan that is active at its instant by the new one, until the old one would have ended, and everything that
was scheduled after the present plan. On request, items that the new plan does not allow end with the old one; they are
kept as they were, so that the change can be withdrawn.

Leaves to others: whether the items are possible together, permissions, and the audit log. Functions raise `BodyError`
if the catalog has no such plan, or the instant is not possible, and `ConflictError` if the subscription has ended, has
no term, or does not have exactly one plan to replace then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

from msgspec.structs import replace

from tiergate.errors import BodyError, BodyProblem, ConflictError
from tiergate.model import FOREVER, ItemKind, SubscriptionItem, format_instant
from tiergate.model.subscription_state import SubscriptionState, derive_state
from tiergate.naming import nearest
from tiergate.store.scheduled_endings import PlanEnding
from tiergate.usage import CalendarWindows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tiergate.catalog.checks.item_combinations import ItemCompatibility
    from tiergate.model import CatalogIndex, Instant, Subscription

NOW, TERM_END = "now", "term_end"
_NEEDS = frozenset({"not-available", "missing-dependency"})

Items = tuple[SubscriptionItem, ...]


class PlanChange(NamedTuple):
    """The new plan, its start, its quantity (`None`: unchanged), and the plan it replaces (`None`: the only one)."""

    to: str
    at: Instant
    quantity: int | None = None
    from_item: str | None = None


class ScheduledChange(NamedTuple):
    """A change in the future: the indexes of the plan that ends and of the plan that starts then."""

    leaving: int
    coming: int


def find_scheduled_change(
    items: Sequence[SubscriptionItem], index: CatalogIndex, now: Instant
) -> ScheduledChange | None:
    """Return the next change of a plan that is active now."""
    plans = _plans(items, index)
    changes = [
        ScheduledChange(leaving, coming)
        for leaving in plans
        if items[leaving].start <= now < items[leaving].until
        for coming in plans
        if items[coming].start == items[leaving].until
    ]
    return min(changes, key=lambda change: items[change.coming].start, default=None)


def remove_scheduled_change(items: Items, index: CatalogIndex, now: Instant, ending: PlanEnding | None = None) -> Items:
    """Return the items without scheduled changes: the present plans last until the last scheduled one would end.

    `ending`: the items that end with a present plan, which they then do not.
    """
    while (change := find_scheduled_change(items, index, now)) is not None:
        leaving, coming = change
        at = items[leaving].until
        extended = replace(items[leaving], until=items[coming].until)
        items = tuple(extended if place == leaving else entry for place, entry in enumerate(items) if place != coming)
        if ending is not None and ending.at == at:
            items = _restore(items, ending)
    return items


def _restore(items: Items, ending: PlanEnding) -> Items:
    """Return the items with those restored that ended with a plan, unless they were changed since."""
    restored = list(items)
    for was in ending.items:
        same = [place for place, entry in enumerate(restored) if (entry.item, entry.start) == (was.item, was.start)]
        for place in same:
            if restored[place].until == ending.at:
                restored[place] = replace(restored[place], until=was.until)
        if not same and was.start >= ending.at:
            restored.append(was)
    return tuple(restored)


def resolve_change_instant(at: str | Instant, subscription: Subscription, now: Instant) -> Instant:
    """Return the instant of a change: now, the end of the present term, or the given one."""
    if derive_state(subscription, now) is SubscriptionState.ENDED:
        raise ConflictError("step-not-possible", f"`{subscription.id}` has ended: its plan cannot change")
    if at == NOW:
        return now
    if at == TERM_END:
        if subscription.term is None:
            raise ConflictError("no-term", f"`{subscription.id}` has no `term`: set one, or give an instant")
        instant = CalendarWindows.of(subscription.term).at(now).until
    elif isinstance(at, str):
        _reject("/at", "bad-instant", "must be `now`, `term_end` or an instant")
    else:
        instant = at
    if instant <= now:
        _reject("/at", "impossible-date", f"must be in the future (it is {format_instant(now)}), or `now`")
    if subscription.end is not None and instant >= subscription.end:
        _reject("/at", "impossible-date", f"must be before its end, {format_instant(subscription.end)}")
    if instant >= FOREVER:
        _reject("/at", "impossible-date", "the term has no end before the year 10000")
    return instant


def replace_plan(
    items: Items, index: CatalogIndex, change: PlanChange, now: Instant, ending: PlanEnding | None = None
) -> Items:
    """Return the items after a change of plan. `ending`: the items that end at the change that was scheduled before."""
    _expect_plan(index, change.to)
    ended = {place for place in _plans(items, index) if items[place].until <= now}
    items = tuple(entry for place, entry in enumerate(items) if place not in ended)
    items = remove_scheduled_change(items, index, now, ending)
    place = _leaving(items, index, change)
    old = items[place]
    quantity = old.quantity if change.quantity is None else change.quantity
    same = old.item == change.to
    if same and quantity == old.quantity:
        return items
    at_once = change.at <= now
    new = SubscriptionItem(
        change.to,
        quantity,
        old.version if same else None,
        old.added_at if same else change.at,
        # An immediate change keeps the start of the old plan, for clocks that are a little behind.
        old.start if at_once else change.at,
        old.until,
    )
    if at_once:
        return (*items[:place], new, *items[place + 1 :])
    return (*items[:place], replace(old, until=change.at), new, *items[place + 1 :])


def find_incompatible(
    items: Items, unchanged: Items, compatibility: ItemCompatibility, index: CatalogIndex, change: PlanChange
) -> list[int]:
    """Return the indexes of add-ons and charges that the change makes impossible, and of those that need them.

    `items`: after the change; `unchanged`: without it.
    """
    known = index.items
    before = [entry for entry in items_from(unchanged, change.at) if entry.item in known]
    excused = {before[one.place] for one in compatibility.violations(before, None)}
    gone: set[int] = set()
    while True:
        places, rest = [], []
        for place, entry in enumerate(items):
            if place not in gone and entry.item in known and entry.until > change.at:
                places.append(place)
                rest.append(replace(entry, start=max(entry.start, change.at)))
        failing = {one.place for one in compatibility.violations(rest, None) if one.code in _NEEDS}
        failing |= {place for place, entry in enumerate(rest) if _excludes(entry, rest, index, change.to)}
        more = {
            places[place]
            for place in failing
            if known[rest[place].item].kind is not ItemKind.PLAN and rest[place] not in excused
        }
        if not more:
            return sorted(gone)
        gone |= more


def _excludes(entry: SubscriptionItem, items: Sequence[SubscriptionItem], index: CatalogIndex, plan: str) -> bool:
    if plan not in index.items[entry.item].excludes and entry.item not in index.items[plan].excludes:
        return False
    return any(max(one.start, entry.start) < min(one.until, entry.until) for one in items if one.item == plan)


def end_with_plan(items: Items, places: Collection[int], at: Instant, now: Instant) -> tuple[Items, PlanEnding | None]:
    """Return the items of which those at `places` end with the plan at an instant, and how they were, if it is later.

    An immediate change removes them, as it removes the plan; so does a later one if they start after it.
    """
    remaining = []
    for place, entry in enumerate(items):
        if place not in places:
            remaining.append(entry)
        elif at > now and entry.start < at:
            remaining.append(replace(entry, until=at))
    ending = PlanEnding(at, tuple(items[place] for place in sorted(places))) if places and at > now else None
    return tuple(remaining), ending


def keep_schedule(
    items: Items, before: Items, index: CatalogIndex, now: Instant, ending: PlanEnding | None = None
) -> Items:
    """Return the items as another system lists them, with the scheduled change of a plan that it lists as unchanged.

    If it names the plan that starts then, or an end of the present one, it knows of the change, and its list counts.
    `ending`: the items that end with the present plan; they still do if they are listed without dates.
    """
    change = find_scheduled_change(before, index, now)
    if change is None:
        return items
    leaving, coming = before[change.leaving], before[change.coming]
    if any(entry.item == coming.item != leaving.item for entry in items):
        return items
    for place, entry in enumerate(items):
        if entry.item == leaving.item and entry.until == FOREVER:
            merged = (*items[:place], replace(entry, until=leaving.until), *items[place + 1 :])
            if ending is not None and ending.at == leaving.until:
                named = {one.item for one in ending.items}
                ends = [at for at, one in enumerate(merged) if one.item in named and one.until == FOREVER]
                merged, _ = end_with_plan(merged, ends, ending.at, now)
            return (*merged, coming)
    return items


def items_from(items: Sequence[SubscriptionItem], at: Instant) -> Items:
    """Return the items that last beyond an instant, as if they started then at the earliest."""
    return tuple(replace(entry, start=max(entry.start, at)) for entry in items if entry.until > at)


def _plans(items: Sequence[SubscriptionItem], index: CatalogIndex) -> list[int]:
    known = index.items
    return [
        place
        for place, entry in enumerate(items)
        if entry.item in known and known[entry.item].kind is ItemKind.PLAN and entry.start < entry.until
    ]


def _leaving(items: Items, index: CatalogIndex, change: PlanChange) -> int:
    plans = [place for place in _plans(items, index) if items[place].start <= change.at < items[place].until]
    wanted = [place for place in plans if change.from_item in {None, items[place].item}]
    when = format_instant(change.at)
    if not wanted:
        active = ", ".join(f"`{items[place].item}`" for place in plans) or "none"
        plan = "plan" if change.from_item is None else f"plan `{change.from_item}`"
        raise ConflictError("no-plan", f"the subscription has no {plan} at {when}: it has {active}")
    if len(wanted) > 1:
        active = ", ".join(f"`{items[place].item}`" for place in wanted)
        raise ConflictError(
            "ambiguous-plan", f"the subscription has several plans at {when}: set `from_item`: {active}"
        )
    return wanted[0]


def _expect_plan(index: CatalogIndex, to: str) -> None:
    known = index.items.get(to)
    if known is None:
        plans = [id_ for id_, item in index.items.items() if item.kind is ItemKind.PLAN]
        _reject("/to", "unknown-item", f"no item `{to[:100]}`", nearest(to, plans))
    if known.kind is not ItemKind.PLAN:
        _reject("/to", "not-a-plan", f"`{to}` is not a plan, but of kind `{known.kind.value}`")


def _reject(pointer: str, code: str, message: str, suggestion: str | None = None) -> NoReturn:
    raise BodyError([BodyProblem(pointer, code, message, suggestion)])
