"""What changes from one real pricing to the next, and for whom: plain YAML and arithmetic, nothing of `tiergate`.

A pricing's features and usage limits share one set of names here, as its plans and add-ons do: no real pricing has a
name in both. What somebody holds of a feature is `True`, a number, a label, or `None` where it is nothing: a switch
that is off, a limit of 0, a text that says nothing, a feature that the pricing does not have.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from tests.unit.catalog.pricing2yaml_real import (
    FILES,
    effective_values,
    extensions,
    levels,
    plain,
    section,
    spoken,
    stated_values,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.unit.catalog.pricing2yaml_real import Plain

Held = bool | Fraction | float | str | None
"""What somebody holds of a feature."""
Holding = dict[str, int]
"""What somebody has bought in one subscription: quantities by the names of plans and add-ons."""
Needs = frozenset[frozenset[str]]
"""What must count in the same subscription for an add-on to count: of each group at least one."""

YEARS: list[tuple[Path, Path]] = [
    (before, after) for before, after in itertools.pairwise(FILES) if before.parent == after.parent
]
"""Each pricing with the one that came next; a year without one is left out."""

_PERIODS = ("hour", "day", "week", "month", "year")


class Verdict(StrEnum):
    """What a change makes of what somebody holds of a feature."""

    SAME = "same"
    GAINS = "gains"
    LOSES = "loses"
    LESS = "less"
    MORE = "more"
    OTHER = "other"


class Declared(NamedTuple):
    """What a pricing says of a feature or limit for everybody."""

    type: str
    levels: tuple[str, ...]
    unit: str
    digits: int
    """How many decimal digits its numbers need."""
    resets: str | None
    """The period after which a renewable limit begins again."""


@dataclass(frozen=True)
class Pricing:
    """One year of one service."""

    plans: dict[str, dict[str, object]]
    add_ons: dict[str, dict[str, object]]
    added: dict[str, dict[str, Fraction]]
    """What add-ons add to limits."""
    features: dict[str, Declared]
    needs: dict[str, Needs] = field(default_factory=dict)
    """What add-ons need: one of the plans for which they are available, and every add-on on which they depend."""

    @property
    def items(self) -> list[str]:
        """All plans and add-ons."""
        return [*self.plans, *self.add_ons]

    def without_needs(self) -> Pricing:
        """The same pricing, in which every add-on counts by itself."""
        return replace(self, needs={})

    def counting(self, holding: Mapping[str, int]) -> Holding:
        """What counts of a subscription: what the pricing has and all that it needs counts beside it."""
        left = {name: count for name, count in holding.items() if name in self.plans or name in self.add_ons}
        while True:
            based = {name: count for name, count in left.items() if all(left.keys() & it for it in self.needs_of(name))}
            if based == left:
                return left
            left = based

    def needs_of(self, item: str) -> Needs:
        """What an item needs; a plan needs nothing."""
        return self.needs.get(item, frozenset())

    def ways(self, item: str) -> set[frozenset[str]]:
        """The least that must be held beside an item so that it counts, in every way there is; empty for an unknown."""
        if item not in self.items:
            return set()
        some = [frozenset(it) for it in itertools.product(*self._all_needs(item))]
        counting = [{*it} - {item} for it in some if item in self.counting(dict.fromkeys((item, *it), 1))]
        return {frozenset(it) for it in counting if not any(other < it for other in counting)}

    def _all_needs(self, item: str) -> list[frozenset[str]]:
        """What an item needs, and what any of that needs."""
        found = [*self.needs_of(item)]
        for group in found:
            found += [it for name in group for it in self.needs_of(name) if it not in found]
        return found

    def held(self, subscriptions: Iterable[Mapping[str, int]], feature: str) -> Held:
        """What somebody holds of a feature; items that the pricing does not have, or that do not count, give nothing.

        A switch is on if anything gives it, of texts the highest level counts, of numbers the largest, and what is
        added comes on top, for each unit of what adds it.
        """
        if feature not in self.features:
            return None
        holding = [each for subscription in subscriptions for each in self.counting(subscription).items()]
        given = [part[name] for part in (self.plans, self.add_ons) for name, _ in holding if name in part]
        values = [each[feature] for each in given if feature in each]
        match self.features[feature].type:
            case "BOOLEAN":
                return True if any(values) else None
            case "TEXT":
                order = self.features[feature].levels
                return max((str(value) for value in values), key=order.index, default=None)
            case _:
                added = sum(count * self.added.get(name, {}).get(feature, 0) for name, count in holding)
                numbers = [value for value in values if isinstance(value, Fraction | float)]
                return max(numbers, default=Fraction()) + added or None


def pricing(path: Path) -> Pricing:
    """Read a pricing."""
    source = plain(path)
    plans, add_ons = section(source, "plans"), section(source, "addOns")
    features = {
        key: _declared(source, part, key) for part in ("features", "usageLimits") for key in section(source, part)
    }
    return Pricing(
        {plan: effective_values(source, plan) for plan in plans},
        {add_on: stated_values(source, add_on) for add_on in add_ons},
        {add_on: extensions(source, add_on) for add_on in add_ons},
        features,
        {add_on: _needs(source, add_on) for add_on in add_ons},
    )


def _needs(source: Plain, add_on: str) -> Needs:
    """One of the plans that an add-on names, or, where it names none, of all; and each add-on that it names."""
    body = section(source, "addOns")[add_on]
    plans = frozenset(body.get("availableFor") or section(source, "plans"))
    others = {frozenset({it}) for it in body.get("dependsOn") or ()}
    return frozenset(others | ({plans} if plans else set()))


def _declared(source: Plain, part: str, key: str) -> Declared:
    declared = source[part][key]
    kind, unit = declared["valueType"], declared.get("unit") or ""
    numeric = kind == "NUMERIC"
    numbers = [number for number in _stated(source, part, key) if isinstance(number, Fraction)] if numeric else []
    period = unit.rpartition("/")[2]
    return Declared(
        kind,
        tuple(levels(source, key)) if kind == "TEXT" else (),
        unit if numeric else "",
        next(digits for digits in range(7) if all((number * 10**digits).denominator == 1 for number in numbers)),
        (period if period in _PERIODS else "month") if numeric and declared["type"] == "RENEWABLE" else None,
    )


def _stated(source: Plain, part: str, key: str) -> list[object]:
    """Every value that a pricing states for a feature or limit."""
    found = [spoken(source[part][key]["defaultValue"])]
    parts = (part, "usageLimitsExtensions") if part == "usageLimits" else (part,)
    for sold in [*section(source, "plans").values(), *section(source, "addOns").values()]:
        found += [spoken(section(sold, of)[key]["value"]) for of in parts if key in section(sold, of)]
    return found


def verdict(old: Pricing, new: Pricing, feature: str, before: Held, after: Held) -> Verdict:
    """Say what it is to hold `after` where one held `before`: which of the checks that were allowed still are."""
    if before is None or after is None:
        return Verdict.SAME if before is after else Verdict.GAINS if before is None else Verdict.LOSES
    was, becomes = old.features[feature], new.features[feature]
    if was.type == becomes.type == "NUMERIC":
        one, other = _number(before), _number(after)
        # Whatever has no more digits than the feature may be asked for; so few digits allow less than many.
        less = other < one or becomes.digits < was.digits
        more = other > one or becomes.digits > was.digits
    else:
        could, can = _asked(was, before), _asked(becomes, after)
        less, more = bool(could - can), bool(can - could)
    if less and more:
        return Verdict.OTHER
    return Verdict.LESS if less else Verdict.MORE if more else Verdict.SAME


def kind_of(old: Pricing, new: Pricing, feature: str, before: Held, after: Held) -> Verdict:
    """Say which of two holdings that are not the same is more: of numbers by themselves, never of two types."""
    if isinstance(before, Fraction | float) and isinstance(after, Fraction | float):
        return Verdict.MORE if after > before else Verdict.LESS
    if before is not None and after is not None and old.features[feature].type != new.features[feature].type:
        return Verdict.OTHER
    said = verdict(old, new, feature, before, after)
    return Verdict.OTHER if said is Verdict.SAME else said


def _asked(declared: Declared, held: Held) -> set[str | None]:
    """What somebody who holds this may ask for: the feature as such, and of a text each level up to theirs."""
    if not isinstance(held, str):
        return {None}
    return {None, *declared.levels[: declared.levels.index(held) + 1]}


def _number(held: Held) -> Fraction | float:
    assert isinstance(held, Fraction | float)
    return held
