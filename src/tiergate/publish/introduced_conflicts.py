"""Find items that customers have together and that a publication makes incompatible: how many customers, and who.

They keep what they have (`catalog.checks.incompatible_changes`); an item stops counting only if it misses what it
needs, and that is a loss like any other. But nobody else can get these items together, and the publisher should know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tiergate.model import ItemKind, PlansPerSubscription
from tiergate.store.item_conflicts import (
    subscriptions_with_excluded,
    subscriptions_with_several,
    subscriptions_without_required,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiergate.model import Catalog
    from tiergate.store import ReadUnit
    from tiergate.store.item_conflicts import ConflictingSubscriptions


class ConflictExample(msgspec.Struct, frozen=True):
    """A customer who has the items."""

    customer: str
    subscription: str


class ItemConflict(msgspec.Struct, frozen=True, omit_defaults=True):
    """Items that customers have together, and that nobody can get together any more.

    `code`: `not-available`, `missing-dependency`, `excluded`, of an `item`; or `several-plans`. `subscriptions`: how
    many hold it; `examples`: the first of them.
    """

    code: str
    subscriptions: int
    item: str = ""
    examples: tuple[ConflictExample, ...] = ()


def find_item_conflicts(unit: ReadUnit, old: Catalog, new: Catalog) -> tuple[ItemConflict, ...]:
    """Return the conflicts that `new` has and `old` does not."""
    return tuple(_find_conflicts(unit, old, new))


def _find_conflicts(unit: ReadUnit, old: Catalog, new: Catalog) -> Iterator[ItemConflict]:
    session, now = unit.session, unit.now
    for id_, after in new.items.items():
        before = old.items.get(id_)
        if before is None or before is after:
            continue
        was, becomes = before.available_for, after.available_for
        if becomes and (not was or not set(was) <= set(becomes)):
            yield from _conflict(
                "not-available", id_, subscriptions_without_required(session, id_, becomes, was or None, now)
            )
        for needed in sorted(set(after.depends_on) - set(before.depends_on)):
            yield from _conflict(
                "missing-dependency", id_, subscriptions_without_required(session, id_, [needed], None, now)
            )
    exclusions = _exclusions(new) - _exclusions(old)
    for id_ in sorted({first for first, _ in exclusions}):
        others = {other for first, other in exclusions if first == id_}
        yield from _conflict("excluded", id_, subscriptions_with_excluded(session, id_, others, now))
    if old.plans is PlansPerSubscription.MANY and new.plans is PlansPerSubscription.ONE:
        plans = [id_ for id_, item in new.items.items() if item.kind is ItemKind.PLAN]
        yield from _conflict("several-plans", "", subscriptions_with_several(session, plans, now))


def _exclusions(catalog: Catalog) -> set[tuple[str, str]]:
    """Return the pairs of items that exclude each other, each in the order of its ids."""
    return {
        (min(id_, other), max(id_, other))
        for id_, item in catalog.items.items()
        for other in item.excludes
        if other in catalog.items
    }


def _conflict(code: str, item: str, subscriptions: ConflictingSubscriptions) -> Iterator[ItemConflict]:
    if subscriptions.total:
        examples = tuple(ConflictExample(customer, subscription) for customer, subscription in subscriptions.named)
        yield ItemConflict(code, subscriptions.total, item, examples)
