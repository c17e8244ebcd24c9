"""Check references between items: they exist, have the right kind, and every item can be bought.

An item can be bought if there is a plan (the item itself, or one of its `available_for`) such that the item, the plan
and all their dependencies go together: none excludes another, and every add-on or charge among them is available for a
plan among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tiergate.catalog.reading.fields import find_suggestion
from tiergate.model import Item, ItemKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tiergate.catalog.entries.items import ItemText


def check_references(items: Mapping[str, ItemText], unread: frozenset[str], *, complete: bool) -> None:
    """Report to each item's report; `unread` are the ids of items that exist but could not be read."""
    sound = complete and not unread
    known = {id_: text.item for id_, text in items.items()}
    for text in items.values():
        if not _names_existing(text, known, unread, complete=complete):
            sound = False
    if not sound:
        return
    holdability = Holdability(known)
    for text in items.values():
        reason = holdability.obstacle(text.item)
        if reason:
            text.report.add(text.place, "unsatisfiable", reason)


def check_item(text: ItemText, others: Mapping[str, Item]) -> None:
    """Report wrong references of an item among `others`, which are valid without it.

    Includes items that could be bought before, but not with this one. References of the others to unknown items, such
    as another customer's private items, are ignored.
    """
    known = others.keys() | {text.item.id}
    before = {id_: _among(item, known) for id_, item in others.items() if id_ != text.item.id}
    items = before | {text.item.id: text.item}
    if not _names_existing(text, items, frozenset(), complete=True):
        return
    if text.item.kind is not ItemKind.PLAN:
        for other in before.values():
            if text.item.id in other.available_for:
                message = f"`{other.id}` is available for `{text.item.id}`, which must stay a plan"
                text.report.add(text.place, "not-a-plan", message)
                return
    holdability = Holdability(items)
    for item in (text.item, *before.values()):
        reason = holdability.obstacle(item)
        if reason:
            because = "" if item is text.item else f"with this `{text.item.id}`, "
            text.report.add(text.place, "unsatisfiable", because + reason)


def _among(item: Item, known: Collection[str]) -> Item:
    """Return the item without references to unknown items."""
    named = {key: getattr(item, key) for key in ("available_for", "depends_on", "excludes")}
    if all(id_ in known for ids in named.values() for id_ in ids):
        return item
    return replace(item, **{key: tuple(id_ for id_ in ids if id_ in known) for key, ids in named.items()})


def _names_existing(
    text: ItemText,
    items: Mapping[str, Item],
    unread: frozenset[str],
    *,
    complete: bool,
) -> bool:
    """Check the references of one item; return whether all are valid."""
    before = text.report.count
    named: dict[str, str] = {}
    for key, id_, place in text.references:
        if id_ == text.item.id:
            text.report.add(place, "self-reference", f"`{id_}` names itself in `{key}`")
        elif id_ in items:
            kind = items[id_].kind
            if key == "available_for" and kind is not ItemKind.PLAN:
                article = "an addon" if kind is ItemKind.ADDON else "a charge"
                text.report.add(place, "not-a-plan", f"`{id_}` is {article}: `available_for` names plans")
        elif id_ not in unread and complete:
            near = find_suggestion(id_, items, text.report)
            text.report.add(place, "unknown-item", f"no item `{id_}`", near)
        if key == "excludes" and id_ in named:
            text.report.add(place, "contradiction", f"`{id_}` is in both `excludes` and `{named[id_]}`")
        named[id_] = key
    return text.report.count == before


class Holdability:
    """Computes whether items can be bought, for a catalog whose references all exist."""

    def __init__(self, items: Mapping[str, Item]) -> None:
        self._items = items
        self._closures: dict[str, frozenset[str]] = {}
        self._excluded: dict[str, set[str]] = {id_: set(item.excludes) for id_, item in items.items()}
        for id_, item in items.items():
            for other in item.excludes:
                self._excluded[other].add(id_)

    def needs(self, id_: str) -> frozenset[str]:
        """Return the item and all its dependencies, direct or not."""
        if id_ not in self._closures:
            result: set[str] = set()
            waiting = [id_]
            while waiting:
                current = waiting.pop()
                if current not in result:
                    result.add(current)
                    waiting.extend(self._items[current].depends_on)
            self._closures[id_] = frozenset(result)
        return self._closures[id_]

    def obstacle(self, item: Item) -> str:
        """Return why nobody can ever have the item; empty if somebody can."""
        own = self._obstacle_in(self.needs(item.id), check_plans=False)
        if own:
            return f"nobody can have `{item.id}`: {own}"
        if item.kind is ItemKind.PLAN:
            reason = self._obstacle_in(self.needs(item.id), check_plans=True)
            return f"nobody can have `{item.id}`: {reason}" if reason else ""
        plans = item.available_for or self._plans_of_needs(item)
        if not plans:
            reason = self._obstacle_in(self.needs(item.id), check_plans=True)
            return f"nobody can have `{item.id}`: {reason}" if reason else ""
        first = ""
        for plan in plans:
            reason = self._obstacle_in(self.needs(item.id) | self.needs(plan), check_plans=True)
            if not reason:
                return ""
            first = first or f"with the plan `{plan}`, {reason}"
        more = f", and none of its {len(plans)} plans fits" if len(plans) > 1 else ""
        return f"nobody can have `{item.id}`: {first}{more}"

    def goes_with(self, item: Item, plan: str) -> bool:
        """Return whether the item can be bought with one plan and the dependencies of both."""
        return not self._obstacle_in(self.needs(item.id) | self.needs(plan), check_plans=True)

    def _plans_of_needs(self, item: Item) -> tuple[str, ...]:
        """Return the plans for which a dependency of the item is available."""
        result: set[str] = set()
        for id_ in self.needs(item.id):
            result.update(self._items[id_].available_for)
        return tuple(sorted(result))

    def _obstacle_in(self, held: frozenset[str], *, check_plans: bool) -> str:
        for id_ in sorted(held):
            clash = self._excluded[id_] & held
            if clash:
                return f"it needs `{id_}` and `{min(clash)}`, which exclude each other"
            available_for = self._items[id_].available_for
            if check_plans and available_for and held.isdisjoint(available_for):
                return f"it needs `{id_}`, which is not available"
        return ""
