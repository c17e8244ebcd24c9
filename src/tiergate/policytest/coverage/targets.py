"""Coverage targets, and their mutations.

A target is a part of a catalog, a rule or a role table, with one way in which it could be wrong: missing, one step
less, one step more, not limited by its condition. It is covered if some case would fail with that mutation. Leaves to
others: trying it (`recorder`), and reporting (`reports`, `html`).

INVARIANT (no unit without effect): a mutation that no check could ever show is no target, so that 100 % can be reached.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tiergate.cedar import Uid
from tiergate.engine.active_items import items_with_bases
from tiergate.engine.facts import is_multiplied
from tiergate.engine.slices import ACCESS
from tiergate.model import (
    AddedAmount,
    Amount,
    Combine,
    FeatureStatus,
    FeatureType,
    ItemStatus,
    Level,
    LimitKind,
    MeteredAmount,
    Per,
    Switch,
    Unlimited,
    format_units,
)
from tiergate.model.features import ACTIONS
from tiergate.naming import policy_id, version_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from tiergate.cedar import Policy
    from tiergate.engine import BundleSource
    from tiergate.model import CatalogIndex, Feature, Value


class TargetKind(StrEnum):
    """What a target is about."""

    ENTITLEMENT = "entitlement"
    LEVEL = "level"
    FEATURE = "feature"
    ITEM = "item"
    GUARD = "guard"
    OVERRIDE = "override"
    REASON = "reason"
    RULE = "rule"
    ROLE = "role"
    SCOPE = "scope"


class Aspect(StrEnum):
    """The property that a test shows.

    `decides`: it exists. `limit`: it is not one unit, or one level, less. `beyond`: it is not one more. `unlimited`: it
    is no number. `soft`: its limit is soft, or hard, as it says. `overage`: not one unit less is allowed above a soft
    limit. `above`: not one unit more is. `per`: it is multiplied by the quantity, or not. `added`: it is added to the
    others. `held`: a level that some subject has. `condition`: this `when` or `unless` limits it. `part`: a part of its
    scope or of a condition is as it is. `other`: a field is not the other of two choices.
    """

    DECIDES = "decides"
    LIMIT = "limit"
    BEYOND = "beyond"
    UNLIMITED = "unlimited"
    SOFT = "soft"
    OVERAGE = "overage"
    ABOVE = "above"
    PER = "per"
    ADDED = "added"
    HELD = "held"
    CONDITION = "condition"
    PART = "part"
    OTHER = "other"


class Target(NamedTuple):
    """One thing to cover.

    `target_set`: identifies its catalog or file. `id`: the policy's, such as `plan/gold@3/movies` or
    `rule/sanctions/sanctioned`; of a level `support=phone`; of a feature or an item its own. `clause`: which of the
    policy's conditions, from 0. `part`: which field of a feature or an item, such as `rollouts/2/from`; what a part of
    a rule says, and what it would say.
    """

    target_set: str
    kind: TargetKind
    id: str
    aspect: Aspect
    clause: int = 0
    part: str = ""


class Entitlement(NamedTuple):
    """The value of one feature in an item version."""

    ref: str
    feature: Feature
    value: Value

    @property
    def id(self) -> str:
        """The id of its permit."""
        return policy_id(self.ref, self.feature.id)


def list_entitlements(index: CatalogIndex, bundle: BundleSource) -> Iterator[Entitlement]:
    """Yield every entitlement of every version, in the order of the ids; an item that never counts gives nothing."""
    countable = items_with_bases({id_: it for id_, it in index.items.items() if it.status is not ItemStatus.DRAFT})
    for item in index.items.values():
        if item.id not in countable:
            continue
        for version in item.versions:
            ref = version_ref(item.kind, item.id, version)
            for name, value in bundle.definition(ref).items():
                yield Entitlement(ref, index.features[name], value)


def value_aspects(value: Value, feature: Feature) -> Iterator[Aspect]:
    """Yield how an entitlement could be wrong.

    One that grants nothing could only grant something: removing it changes no decision. One to a draft feature has no
    effect.
    """
    if feature.status is FeatureStatus.DRAFT:
        return
    match value:
        case Switch(on):
            yield Aspect.DECIDES if on else Aspect.BEYOND
        case Level(label):
            yield Aspect.DECIDES
            if feature.rank(label) > 1:
                yield Aspect.LIMIT
            if feature.rank(label) < len(feature.labels):
                yield Aspect.BEYOND
        case Unlimited():
            yield Aspect.DECIDES
            yield Aspect.UNLIMITED
        case Amount() | AddedAmount():
            yield from _number_aspects(value, feature)


def _number_aspects(value: Amount | AddedAmount, feature: Feature) -> Iterator[Aspect]:
    if value.units:
        yield Aspect.DECIDES
        yield Aspect.LIMIT
    if not _is_highest(value.units, feature):
        yield Aspect.BEYOND
        if value.units:
            yield Aspect.PER
            if isinstance(value, AddedAmount) and feature.combine is Combine.MAX:
                yield Aspect.ADDED
    if isinstance(value, MeteredAmount) and value.units and (value.limit is LimitKind.HARD or value.overage_max != 0):
        yield Aspect.SOFT
        if value.overage_max:
            yield Aspect.OVERAGE
            yield Aspect.ABOVE
        elif value.limit is LimitKind.SOFT:
            yield Aspect.UNLIMITED


def _is_highest(targets: int, feature: Feature) -> bool:
    """Return whether the maximum of a range feature leaves no room for more."""
    return feature.type is FeatureType.RANGE and feature.maximum is not None and targets >= feature.maximum


def mutate_value(aspect: Aspect, value: Value, feature: Feature, most: int) -> Value | None:
    """Return the mutated value of an entitlement; `None` if it is removed.

    `most`: the largest number that the catalog grants of the feature, which replaces `unlimited`.
    """
    match value:
        case Switch(on):
            return Switch(not on)
        case _ if aspect is Aspect.DECIDES:
            return None
        case Unlimited():
            return Amount(max(most, 1) if feature.maximum is None else feature.maximum - 1)
        case Level(label):
            place = feature.labels.index(label)
            return Level(feature.labels[place - 1 if aspect is Aspect.LIMIT else place + 1])
        case MeteredAmount(limit=kind) if aspect is Aspect.SOFT:
            return msgspec.structs.replace(value, limit=_OTHER[kind], overage_max=None)
        case MeteredAmount(overage_max=int(above)) if aspect in {Aspect.OVERAGE, Aspect.ABOVE}:
            return msgspec.structs.replace(value, overage_max=above + (1 if aspect is Aspect.ABOVE else -1))
        case MeteredAmount() if aspect is Aspect.UNLIMITED:
            return msgspec.structs.replace(value, overage_max=max(most, 1))
        case AddedAmount(targets) if aspect is Aspect.ADDED:
            return Amount(targets, Per.UNIT if is_multiplied(feature, value) else Per.SUBSCRIPTION)
        case Amount() | AddedAmount() if aspect is Aspect.PER:
            per = Per.SUBSCRIPTION if is_multiplied(feature, value) else Per.UNIT
            return msgspec.structs.replace(value, per=per)
        case Amount(targets) | AddedAmount(targets):
            return msgspec.structs.replace(value, units=targets - 1 if aspect is Aspect.LIMIT else targets + 1)


_OTHER = {LimitKind.HARD: LimitKind.SOFT, LimitKind.SOFT: LimitKind.HARD}


def level_target(target_set: str, feature: Feature, value: Value) -> Target | None:
    """Return the level that an entitlement grants: a label, or a number of a quantity that lists its numbers."""
    if feature.status is FeatureStatus.DRAFT:
        return None
    match value:
        case Level(label):
            shown = label
        case Amount(targets) if feature.numbers is not None and targets:
            shown = format_units(targets, feature.scale)
        case Unlimited() if feature.numbers is not None:
            shown = "unlimited"
        case _:
            return None
    return Target(target_set, TargetKind.LEVEL, f"{feature.id}={shown}", Aspect.HELD)


_NEEDS: dict[str, Callable[[Feature], bool]] = {
    "guard/feature-inactive": lambda feature: feature.status is FeatureStatus.DRAFT,
    "guard/amount-invalid": lambda feature: (feature.batch.minimum or 1) > 1 or (feature.batch.increment or 1) > 1,
    "guard/user-cap-reached": lambda feature: feature.caps.per_user is not None,
    "guard/total-cap-reached": lambda feature: feature.caps.total is not None,
    "guard/draws-exceeded": lambda feature: feature.draws is not None,
    "guard/draws-not-entitled": lambda feature: feature.draws is not None,
    "grant/consume": lambda feature: feature.metered is not None,
}
"""The shipped policies that can decide only if a catalog has a feature of this sort."""

_ALONE = "reason/not-entitled"
"""For a switch this is the only reason if nothing forbids, so its condition always holds."""


def shipped_policy_targets(
    kind: TargetKind, policy: Policy, name: str, features: Collection[Feature]
) -> Iterator[Target]:
    """Yield the targets of a guard, an override's permit or a reason that checks of these features can show."""
    acting = [
        feature for feature in features if policy.action.can_match(Uid("Action", ACTIONS[feature.type]), (ACCESS,))
    ]
    needed = _NEEDS.get(name)
    for target in policy_targets("", kind, policy, name):
        if target.aspect is Aspect.DECIDES:
            possible = any(needed is None or needed(value) for value in acting)
        else:
            possible = any(name != _ALONE or entry.type is not FeatureType.SWITCH for entry in acting)
        if possible:
            yield target


def policy_targets(target_set: str, kind: TargetKind, policy: Policy, name: str) -> Iterator[Target]:
    """Yield the targets of a policy: that it decides, and that each of its conditions limits it."""
    yield Target(target_set, kind, name, Aspect.DECIDES)
    for clause in range(len(policy.json["conditions"])):
        yield Target(target_set, kind, name, Aspect.CONDITION, clause)


def mutate_policy(target: Target, policy: Policy) -> Policy | None:
    """Return the policy without one of its conditions, or `None` if it is removed."""
    if target.aspect is Aspect.DECIDES:
        return None
    conditions = policy.json["conditions"]
    left = [*conditions[: target.clause], *conditions[target.clause + 1 :]]
    return replace(policy, json={**policy.json, "conditions": left})
