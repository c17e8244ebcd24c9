"""The amount that an entitlement grants, for comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.model import (
    AddedAmount,
    Amount,
    AudienceType,
    Combine,
    Definition,
    Feature,
    Item,
    Level,
    LimitKind,
    MeteredAmount,
    Per,
    Switch,
    Unlimited,
    Value,
    format_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENDLESS = 2**63


class Grant(NamedTuple):
    """What a value grants: `size` in units, by rank, or 1 for a switch; whether it grows with the item's quantity.

    `overage`: units above it that a soft limit allows.
    """

    size: int
    grows: bool
    adds: bool = False
    overage: int = 0

    @property
    def is_unlimited(self) -> bool:
        """Whether there is no limit."""
        return self.size == _ENDLESS


Granted = dict[str, dict[str, Grant]]
"""Item → feature → what the item grants after all rollouts."""


def granted_amount(value: Value | None, feature: Feature) -> Grant | None:
    """Return what a value grants, or `None`: a switch that is off and a number of 0 grant nothing."""
    match value:
        case None | Switch(False) | Amount(0) | AddedAmount(0):
            return None
        case Switch():
            return Grant(1, grows=False)
        case Level(label):
            return Grant(feature.rank(label), grows=False)
        case Unlimited():
            return Grant(_ENDLESS, grows=True)
        case Amount(units, per):
            default = Per.SUBSCRIPTION if feature.combine is Combine.MAX else Per.UNIT
            return Grant(units, grows=(per or default) is Per.UNIT, overage=_overage(value, feature))
        case AddedAmount(units, per):
            return Grant(units, grows=(per or Per.UNIT) is Per.UNIT, adds=True)


def _overage(value: Amount, feature: Feature) -> int:
    limits = value if isinstance(value, MeteredAmount) else feature.metered
    if limits is None or limits.limit is LimitKind.HARD:
        return 0
    return _ENDLESS if limits.overage_max is None else limits.overage_max


def grants_by_feature(definition: Definition, features: Mapping[str, Feature]) -> dict[str, Grant]:
    """Return what a definition grants, by feature."""
    result = {id_: granted_amount(value, features[id_]) for id_, value in definition.entitlements.items()}
    return {id_: entry for id_, entry in result.items() if entry is not None}


def is_at_most(one: Grant, other: Grant | None) -> bool:
    """Return whether `one` grants nothing that `other` does not, for every quantity of the item."""
    if other is None:
        return False
    is_less = one.size <= other.size and one.size + one.overage <= other.size + other.overage
    return is_less and (other.grows or not one.grows)


def is_contained(one: Mapping[str, Grant], other: Mapping[str, Grant]) -> bool:
    """Return whether `other` grants all that `one` grants."""
    return all(is_at_most(result, other.get(id_)) for id_, result in one.items())


def current_definition(item: Item) -> Definition:
    """Return the version of the last rollout to everybody, else the highest."""
    versions = {definition.version: definition for definition in item.versions}
    for rollout in reversed(item.rollouts):
        if rollout.audience.type is AudienceType.EVERYBODY:
            return versions[rollout.version]
    return item.versions[-1]


def format_grant(value: Value | None, feature: Feature) -> str:
    """Write a value for a message."""
    return "nothing" if value is None else f"`{format_value(value, feature.scale)}`"
