"""Findings about plans in comparison: ladders that do not rise, expensive plans that give no more than cheap ones."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.catalog.lint.findings import Finding
from tiergate.catalog.lint.granted_amounts import Grant, current_definition, format_grant, is_contained
from tiergate.catalog.lint.plan_families import Family, find_families
from tiergate.model import ItemKind, format_units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tiergate.catalog.lint.granted_amounts import Granted
    from tiergate.catalog.reading.document import Position
    from tiergate.model import Catalog, Item, Ladder

_NEIGHBOURS: Final = 30
"""The number of cheaper plans that a plan is compared with."""


class BrokenStep(NamedTuple):
    """A feature of which a plan gives less than the plan below it on a ladder."""

    ladder: str
    lower: str
    higher: str
    feature: str
    finding: Finding


def lint_plans(catalog: Catalog, granted: Granted, place: Callable[[str], Position]) -> Iterator[Finding]:
    """Compare plans; `place` returns the position of a plan."""
    plans = [item for item in catalog.items.values() if item.kind is ItemKind.PLAN]
    for ladder in catalog.ladders:
        yield from (step.finding for step in find_broken_steps(ladder, catalog, granted))
    on_one_ladder = {frozenset(pair) for ladder in catalog.ladders for pair in combinations(ladder.plans, 2)}
    for family in find_families(catalog, place):
        yield from _family(family, granted, on_one_ladder)
    for plan in plans:
        yield from _linked(plan, catalog, granted[plan.id])


def find_broken_steps(ladder: Ladder, catalog: Catalog, granted: Granted) -> Iterator[BrokenStep]:
    """Yield features of which a plan gives less than the plan below it; ignores plans that are not in `granted`."""
    plans = [plan for plan in ladder.plans if plan in granted]
    for lower, higher in pairwise(plans):
        for id_, grant in granted[lower].items():
            other = granted[higher].get(id_)
            if other is not None and grant.size <= other.size:
                continue
            feature = catalog.features[id_]
            above, below = current_definition(catalog.items[higher]), current_definition(catalog.items[lower])
            more, less = (format_grant(entry.entitlements.get(id_), feature) for entry in (below, above))
            message = (
                f"`{higher}` gives {less} of `{id_}`, less than `{lower}` below it on the ladder `{ladder.id}`, "
                f"which gives {more}"
            )
            key = ("item", higher, above.version) + ((id_,) if id_ in above.entitlements else ())
            yield BrokenStep(ladder.id, lower, higher, id_, Finding(key, "broken-ladder", message))


def _family(
    family: Family,
    granted: Granted,
    on_one_ladder: set[frozenset[str]],
) -> Iterator[Finding]:
    ranked = [(rank, id_) for rank, group in enumerate(family.groups) for id_ in group]
    if family.is_by_order and _falls([id_ for _, id_ in ranked], granted):
        return
    because = "comes later in the file" if family.is_by_order else "looks more expensive by its name"
    for place, (rank, id_) in enumerate(ranked):
        if not granted[id_]:
            continue
        for other_rank, other in reversed(ranked[max(0, place - _NEIGHBOURS) : place]):
            is_candidate = other_rank < rank and frozenset((id_, other)) not in on_one_ladder
            if is_candidate and _is_less(granted[id_], granted[other]):
                message = f"`{other}` gives all that `{id_}` gives, and more, but `{id_}` {because}"
                yield Finding(("item", id_), "plan-contained", message)
                break


def _is_less(one: dict[str, Grant], other: dict[str, Grant]) -> bool:
    return is_contained(one, other) and not is_contained(other, one)


def _falls(plans: list[str], granted: Granted) -> bool:
    """Return whether the file seems to list the most expensive plan first."""
    if len(plans) < 3:
        return False
    falling = sum(_is_less(granted[after], granted[before]) for before, after in pairwise(plans))
    rising = sum(_is_less(granted[before], granted[after]) for before, after in pairwise(plans))
    return falling > rising


def _linked(plan: Item, catalog: Catalog, granted: dict[str, Grant]) -> Iterator[Finding]:
    """Check limits of a plan that cannot be used."""
    definition = current_definition(plan)
    for id_, grant in granted.items():
        feature = catalog.features[id_]
        minimum = feature.batch.minimum
        if minimum is not None and grant.size < minimum and not grant.adds:
            shown = format_grant(definition.entitlements[id_], feature)
            least = format_units(minimum, feature.scale)
            message = f"`{plan.id}` gives {shown} of `{id_}`, but the smallest amount is {least}"
            yield Finding(("item", plan.id, definition.version, id_), "limit-below-minimum", message)
