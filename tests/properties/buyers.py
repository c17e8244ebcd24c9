"""Customers of a real pricing, drawn at random, and what they hold by plain arithmetic.

They hold what both of two years sell, or only one of them, in one subscription or several, some of which do not count,
with one plan at most in each, and add-ons that fit it or not; some have exceptions of their own. What they hold is
worked out without `tiergate`; `record` puts it into its terms.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import (
    UNLIMITED,
    Amount,
    Customer,
    FeatureType,
    Level,
    Override,
    OverrideMode,
    SubjectRecord,
    Subscription,
    SubscriptionItem,
    SubscriptionStatus,
    Switch,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.reference.pricings import Held, Holding, Pricing
    from tiergate.model import Feature, Value


class Bought(NamedTuple):
    """A subscription, and whether it counts."""

    id: str
    live: bool
    holding: Holding


class Exempt(NamedTuple):
    """An exception for one customer: in place of all that they hold of a feature, the least of it, or on top of it."""

    mode: OverrideMode
    value: Held


@dataclass(frozen=True)
class Buyer:
    """A customer, with how much they have used of some limits."""

    id: str
    bought: tuple[Bought, ...]
    exempt: Mapping[str, Exempt]
    used: Mapping[str, Fraction]

    def held(self, of: Pricing, feature: str, only: str | None = None) -> Held:
        """What they hold of a feature, all that counts together, or by one subscription alone."""
        about = [it for it in self.bought if it.live and only in (None, it.id)]
        if feature not in of.features or (only is not None and not about):
            return None
        held = of.held([it.holding for it in about], feature)
        exempt = self.exempt.get(feature)
        if exempt is None:
            return held
        if exempt.mode is OverrideMode.AT_LEAST:
            return max(held or 0, exempt.value or 0) or None
        if exempt.mode is OverrideMode.ADD:
            return (held or Fraction()) + (exempt.value or Fraction())  # type: ignore[operator]  # numbers
        return exempt.value

    def bare(self) -> Buyer:
        """The same one without any exception."""
        return replace(self, exempt={})

    def without_what_does_not_count(self, of: Pricing) -> Buyer:
        """The same one without what counts for nothing in a pricing: nobody can be sold that."""
        bought = [it._replace(holding=of.counting(it.holding)) for it in self.bought]
        return replace(self, bought=tuple(it for it in bought if it.holding))


def buyers(old: Pricing, new: Pricing, count: int) -> list[Buyer]:
    """Draw customers, half of them like the one before but for one thing; the same ones for the same two pricings."""
    draw = random.Random(f"{sorted(old.items)} {sorted(new.items)}")
    found: list[Buyer] = []
    for number in range(count):
        if number % 2:
            found.append(_twin(draw, f"c{number}", found[-1]))
        else:
            found.append(_buyer(draw, f"c{number}", old, new))
    return found


def _twin(draw: random.Random, id_: str, other: Buyer) -> Buyer:
    """One who has used as much, but has one more of something, or one promise or subscription less that counts."""
    bought = [Bought(it.id.replace(other.id, id_), it.live, dict(it.holding)) for it in other.bought]
    exempt = dict(other.exempt)
    other_in = draw.choice(["quantity", "quantity", "live", "exempt"])
    if bought and other_in == "quantity":
        holding = draw.choice(bought).holding
        holding[draw.choice([*holding])] += 1
    elif bought and other_in == "live":
        bought[0] = bought[0]._replace(live=not bought[0].live)
    elif exempt:
        exempt.popitem()
    return Buyer(id_, tuple(bought), exempt, other.used)


def _buyer(draw: random.Random, id_: str, old: Pricing, new: Pricing) -> Buyer:
    plans = [*{**old.plans, **new.plans}]
    add_ons = [*{**old.add_ons, **new.add_ons}]
    bought = []
    for number in range(draw.choice([0, 1, 1, 1, 1, 2, 3])):
        holding = {draw.choice(plans): draw.choice([1, 1, 1, 3])} if draw.random() < 0.9 else {}
        for add_on in draw.sample(add_ons, min(len(add_ons), draw.choice([0, 0, 1, 2, 4]))):
            holding[add_on] = draw.choice([1, 1, 2, 5])
        if holding:
            bought.append(Bought(f"{id_}-{number}", draw.random() < 0.85, holding))
    stays = sorted(
        feature
        for feature, declared in old.features.items()
        if (after := new.features.get(feature)) is not None
        and (declared.type, declared.digits) == (after.type, after.digits)
        and declared.type != "TEXT"
    )
    exempt = {}
    if stays and draw.random() < 0.3:
        for feature in draw.sample(stays, min(len(stays), draw.choice([1, 1, 3]))):
            exempt[feature] = _exempt(draw, old.features[feature].type)
    buyer = Buyer(id_, tuple(bought), exempt, {})
    return Buyer(id_, buyer.bought, exempt, _used(draw, buyer, old, new))


def _exempt(draw: random.Random, type_: str) -> Exempt:
    modes = [OverrideMode.REPLACE, OverrideMode.DISABLED, OverrideMode.AT_LEAST, OverrideMode.ADD]
    mode = draw.choice(modes if type_ == "NUMERIC" else modes[:2])
    if mode is OverrideMode.DISABLED:
        return Exempt(mode, None)
    if type_ == "BOOLEAN":
        return Exempt(mode, value=True)
    numbers: list[Held] = [Fraction(1), Fraction(7), Fraction(500), math.inf]
    return Exempt(mode, draw.choice(numbers[:-1] if mode is OverrideMode.ADD else numbers))


def _used(draw: random.Random, buyer: Buyer, old: Pricing, new: Pricing) -> dict[str, Fraction]:
    """How much was used of limits that both years have: at a limit, or one step on either side of it."""
    used = {}
    for feature in sorted(old.features.keys() & new.features.keys()):
        declared = old.features[feature], new.features[feature]
        if {it.type for it in declared} != {"NUMERIC"} or draw.random() < 0.5:
            continue
        step = Fraction(1, 10 ** min(it.digits for it in declared))
        limits = [held for side in (old, new) if isinstance(held := buyer.held(side, feature), Fraction)]
        limit = draw.choice(limits or [Fraction(0)])
        limit -= limit % step
        used[feature] = max(limit + step * draw.choice([-1, 0, 1]), Fraction())
    return used


def record(buyer: Buyer, items: Mapping[str, str], features: Mapping[str, Feature]) -> SubjectRecord:
    """A customer in the terms of `tiergate`: ids of items and features by their names."""
    overrides = tuple(
        Override(f"{features[name].id}-1", features[name].id, it.mode, _value(it, features[name]))
        for name, it in sorted(buyer.exempt.items())
    )
    subscriptions = tuple(
        Subscription(
            it.id,
            buyer.id,
            SubscriptionStatus.ACTIVE if it.live else SubscriptionStatus.EXPIRED,
            tuple(SubscriptionItem(items[name], quantity) for name, quantity in it.holding.items()),
        )
        for it in buyer.bought
    )
    return SubjectRecord(Customer(buyer.id, overrides=overrides), subscriptions)


def _value(exempt: Exempt, feature: Feature) -> Value | None:
    match exempt.value:
        case None:
            return None
        case bool(on):
            return Switch(on)
        case str(label):
            return Level(label)
        case Fraction() as number:
            assert feature.type is FeatureType.QUANTITY
            return Amount(int(number * 10**feature.scale))
        case _:
            return UNLIMITED
