"""The change of a plan: at an instant, with neither gap nor overlap, in place of what was to follow. Pure.

A subscription's plans follow one another as entries of its items: one holds until the instant from which the next one
does. A change takes the plan that holds at its instant, and lets the new one stand from then on until whenever the old
one would have ended. What was scheduled after the plan that holds now is replaced. Where that is asked for, what
cannot be held with the new plan ends with the old one; how it was is kept for whoever takes the change back.

Leaves to others: whether the items can be held together, who may do it, and how it is written down.
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

    from tiergate.catalog.checks.item_compatibility import ItemCompatibility
    from tiergate.model import CatalogIndex, Instant, Subscription

NOW, TERM_END = "now", "term_end"
_NEEDS = frozenset({"not-available", "missing-dependency"})

Items = tuple[SubscriptionItem, ...]


class PlanChange(NamedTuple):
    """What is wanted: the plan, from when on, how many of it (none: as many), and in place of which (none: the one)."""

    to: str
    at: Instant
    quantity: int | None = None
    from_item: str | None = None


class Scheduled(NamedTuple):
    """A change that is to come: the places of the plan that ends and of the one that then begins."""

    leaving: int
    coming: int


def scheduled_change(items: Sequence[SubscriptionItem], index: CatalogIndex, now: Instant) -> Scheduled | None:
    """The next change of a plan that holds now; none where nothing follows it."""
    plans = _plans(items, index)
    found = [
        Scheduled(leaving, coming)
        for leaving in plans
        if items[leaving].start <= now < items[leaving].until
        for coming in plans
        if items[coming].start == items[leaving].until
    ]
    return min(found, key=lambda one: items[one.coming].start, default=None)


def without_scheduled(items: Items, index: CatalogIndex, now: Instant, ending: PlanEnding | None = None) -> Items:
    """The items without what is to follow the plans that hold now: these stay until the last that follows would.

    `ending`: what ends with one of them, which it then does not.
    """
    while (next_one := scheduled_change(items, index, now)) is not None:
        leaving, coming = next_one
        at = items[leaving].until
        stays = replace(items[leaving], until=items[coming].until)
        items = tuple(stays if place == leaving else held for place, held in enumerate(items) if place != coming)
        if ending is not None and ending.at == at:
            items = _restored(items, ending)
    return items


def _restored(items: Items, ending: PlanEnding) -> Items:
    """The items with those as they were that ended with a plan. What somebody has changed since stays as it is."""
    found = list(items)
    for was in ending.items:
        same = [place for place, held in enumerate(found) if (held.item, held.start) == (was.item, was.start)]
        for place in same:
            if found[place].until == ending.at:
                found[place] = replace(found[place], until=was.until)
        if not same and was.start >= ending.at:
            found.append(was)
    return tuple(found)


def change_instant(at: str | Instant, subscription: Subscription, now: Instant) -> Instant:
    """The instant of a change: now, the end of the term that runs now, or the one that was said.

    Raises:
        ConflictError: the subscription has no term, or has ended.
        BodyError: the instant lies in the past, or where the subscription has ended.
    """
    if derive_state(subscription, now) is SubscriptionState.ENDED:
        raise ConflictError("step-not-possible", f"`{subscription.id}` has ended, so that its plan does not change")
    if at == NOW:
        return now
    if at == TERM_END:
        if subscription.term is None:
            message = f"`{subscription.id}` has no `term`: give it one, or say at which instant"
            raise ConflictError("no-term", message)
        found = CalendarWindows.of(subscription.term).at(now).until
    elif isinstance(at, str):
        _refuse("/at", "bad-instant", "must be `now`, `term_end` or an instant")
    else:
        found = at
    if found <= now:
        _refuse("/at", "impossible-date", f"must lie in the future, and it is {format_instant(now)}: or say `now`")
    if subscription.end is not None and found >= subscription.end:
        _refuse("/at", "impossible-date", f"must be before its end, {format_instant(subscription.end)}")
    if found >= FOREVER:
        _refuse("/at", "impossible-date", "its term has no end before the year 10000")
    return found


def changed_plan(
    items: Items, index: CatalogIndex, change: PlanChange, now: Instant, ending: PlanEnding | None = None
) -> Items:
    """The items after a change of plan. `ending`: what ends at the change that was scheduled before.

    Raises:
        BodyError: the new plan is none of the catalog's.
        ConflictError: no plan holds then, or several do and it is not said which one is meant.
    """
    _expect_plan(index, change.to)
    over = {place for place in _plans(items, index) if items[place].until <= now}
    items = tuple(held for place, held in enumerate(items) if place not in over)
    items = without_scheduled(items, index, now, ending)
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
        # At once it stands where the old one stood, for clocks that are a little behind.
        old.start if at_once else change.at,
        old.until,
    )
    if at_once:
        return (*items[:place], new, *items[place + 1 :])
    return (*items[:place], replace(old, until=change.at), new, *items[place + 1 :])


def unfit(
    items: Items, stood: Items, holdings: ItemCompatibility, index: CatalogIndex, change: PlanChange
) -> list[int]:
    """The places of what cannot be held from the change on, of add-ons and charges, and could be if nothing changed.

    `items`: after the change; `stood`: without it. What needs something that goes goes too.
    """
    known = index.items
    before = [held for held in from_then_on(stood, change.at) if held.item in known]
    excused = {before[one.place] for one in holdings.violations(before, None)}
    gone: set[int] = set()
    while True:
        places, rest = [], []
        for place, held in enumerate(items):
            if place not in gone and held.item in known and held.until > change.at:
                places.append(place)
                rest.append(replace(held, start=max(held.start, change.at)))
        failing = {one.place for one in holdings.violations(rest, None) if one.code in _NEEDS}
        failing |= {place for place, held in enumerate(rest) if _excludes(held, rest, index, change.to)}
        more = {
            places[place]
            for place in failing
            if known[rest[place].item].kind is not ItemKind.PLAN and rest[place] not in excused
        }
        if not more:
            return sorted(gone)
        gone |= more


def _excludes(held: SubscriptionItem, items: Sequence[SubscriptionItem], index: CatalogIndex, plan: str) -> bool:
    if plan not in index.items[held.item].excludes and held.item not in index.items[plan].excludes:
        return False
    return any(max(one.start, held.start) < min(one.until, held.until) for one in items if one.item == plan)


def ended_with_plan(
    items: Items, places: Collection[int], at: Instant, now: Instant
) -> tuple[Items, PlanEnding | None]:
    """The items of which those at some places end with the plan at an instant, and how these were if that is to come.

    At once they go, as the plan does; and so does what would begin only later.
    """
    found = []
    for place, held in enumerate(items):
        if place not in places:
            found.append(held)
        elif at > now and held.start < at:
            found.append(replace(held, until=at))
    ending = PlanEnding(at, tuple(items[place] for place in sorted(places))) if places and at > now else None
    return tuple(found), ending


def kept_schedule(
    items: Items, before: Items, index: CatalogIndex, now: Instant, ending: PlanEnding | None = None
) -> Items:
    """The items as another system lists them, with the change that is scheduled of a plan that it lists as it is.

    Where it names the plan that is to come, or when the present one ends, it knows of the change, and its word stands.
    `ending`: what ends with the plan that is left, and does so where it is listed without dates.
    """
    next_one = scheduled_change(before, index, now)
    if next_one is None:
        return items
    leaving, coming = before[next_one.leaving], before[next_one.coming]
    if any(held.item == coming.item != leaving.item for held in items):
        return items
    for place, held in enumerate(items):
        if held.item == leaving.item and held.until == FOREVER:
            found = (*items[:place], replace(held, until=leaving.until), *items[place + 1 :])
            if ending is not None and ending.at == leaving.until:
                named = {one.item for one in ending.items}
                ends = [at for at, one in enumerate(found) if one.item in named and one.until == FOREVER]
                found, _ = ended_with_plan(found, ends, ending.at, now)
            return (*found, coming)
    return items


def from_then_on(items: Sequence[SubscriptionItem], at: Instant) -> Items:
    """The items that are held from an instant on, as if nothing had been before."""
    return tuple(replace(held, start=max(held.start, at)) for held in items if held.until > at)


def _plans(items: Sequence[SubscriptionItem], index: CatalogIndex) -> list[int]:
    known = index.items
    return [
        place
        for place, held in enumerate(items)
        if held.item in known and known[held.item].kind is ItemKind.PLAN and held.start < held.until
    ]


def _leaving(items: Items, index: CatalogIndex, change: PlanChange) -> int:
    found = [place for place in _plans(items, index) if items[place].start <= change.at < items[place].until]
    wanted = [place for place in found if change.from_item in {None, items[place].item}]
    when = format_instant(change.at)
    if not wanted:
        held = ", ".join(f"`{items[place].item}`" for place in found) or "none"
        what = "no plan" if change.from_item is None else f"no plan `{change.from_item}`"
        raise ConflictError("no-plan", f"it holds {what} at {when}, which could change: it holds {held}")
    if len(wanted) > 1:
        held = ", ".join(f"`{items[place].item}`" for place in wanted)
        raise ConflictError("ambiguous-plan", f"it holds several plans at {when}: say which in `from_item`: {held}")
    return wanted[0]


def _expect_plan(index: CatalogIndex, to: str) -> None:
    known = index.items.get(to)
    if known is None:
        plans = [id_ for id_, item in index.items.items() if item.kind is ItemKind.PLAN]
        _refuse("/to", "unknown-item", f"no item `{to[:100]}`", nearest(to, plans))
    if known.kind is not ItemKind.PLAN:
        _refuse("/to", "not-a-plan", f"`{to}` is no plan, but of kind `{known.kind.value}`")


def _refuse(pointer: str, code: str, message: str, suggestion: str | None = None) -> NoReturn:
    raise BodyError([BodyProblem(pointer, code, message, suggestion)])
