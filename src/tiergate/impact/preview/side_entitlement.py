"""The entitlement of a subject to one feature on one side of a change, and how two sides compare."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from tiergate.engine.metered_limits import ceiling_of, drawn_ceiling, is_unbounded
from tiergate.engine.normalized_check import default_amount
from tiergate.impact.preview.probe_checks import least_amount
from tiergate.impact.preview.rule_effects import RuleInputs
from tiergate.impact.preview.subject_effects import overage_from_facts, value_from_facts
from tiergate.model import NO_METERED_USAGE, FeatureType

if TYPE_CHECKING:
    from collections.abc import Hashable

    from tiergate.engine.active_items import ActiveItems
    from tiergate.engine.facts import Facts
    from tiergate.engine.slices import StaticPolicy
    from tiergate.model import Feature, Number


_NUMBER_FIELDS: Final = ("type", "scale", "labels", "batch", "caps", "draws")
"""The fields of a feature that define how numbers of requests are read."""


class SideEntitlement(NamedTuple):
    """What one side knows of a subject and a feature; no facts if its total overflows."""

    feature: Feature | None
    facts: Facts | None
    rules: tuple[StaticPolicy, ...]
    active: ActiveItems

    @property
    def rule_inputs(self) -> RuleInputs | None:
        """The inputs of rules; `None` if the side has no such feature."""
        if self.feature is None or self.facts is None:
            return None
        return RuleInputs(self.feature, self.facts, self.rules, self.active.refs)

    @property
    def total(self) -> float:
        """The most that may be used, overage included, in units of 10^-6: infinite if unlimited, -1 on overflow."""
        if self.facts is None:
            return -1
        if is_unbounded(self.facts):
            return math.inf
        total: int = ceiling_of(self.facts, NO_METERED_USAGE) * 10 ** (6 - self.facts.feature.scale)
        return total

    @property
    def value(self) -> bool | Number | str | None:
        """The granted value."""
        return None if self.facts is None else value_from_facts(self.facts)

    @property
    def overage(self) -> Number | str:
        """How much above the granted value a soft limit allows."""
        return 0 if self.facts is None else overage_from_facts(self.facts)

    @property
    def flags(self) -> Hashable:
        """The facts without the numbers."""
        facts = self.facts
        if facts is None or self.feature is None:
            return self.feature is None
        is_quantity = self.feature.type is FeatureType.QUANTITY
        least, default = (least_amount(self.feature), default_amount(self.feature)) if is_quantity else (1, 1)
        return (
            facts.active,
            facts.suspended,
            facts.live,
            facts.unlimited,
            facts.given,
            facts.overridden,
            facts.disabled,
            bool(facts.givers),
            facts.held,
            facts.soft,
            None if facts.drawn is None else drawn_ceiling(facts, NO_METERED_USAGE),
            facts.unlimited or facts.total >= least,
            facts.unlimited or facts.total >= default,
        )


def are_comparable(before: SideEntitlement, after: SideEntitlement) -> bool:
    """Return whether a check means the same on both sides."""
    if any(side.feature is not None and side.facts is None for side in (before, after)):
        return False
    baseline, candidate = before.feature, after.feature
    return (
        baseline is None
        or candidate is None
        or (baseline.type, baseline.scale, baseline.labels) == (candidate.type, candidate.scale, candidate.labels)
    )


def read_numbers_alike(before: SideEntitlement, after: SideEntitlement) -> bool:
    """Return whether both sides read the numbers of requests alike."""
    baseline, candidate = before.feature, after.feature
    if baseline is None or candidate is None:
        return False
    return all(getattr(baseline, name) == getattr(candidate, name) for name in _NUMBER_FIELDS)


def have_numbers(before: SideEntitlement, after: SideEntitlement) -> bool:
    """Return whether both sides have numbers that can be compared."""
    baseline, candidate = before.feature, after.feature
    numeric = {FeatureType.QUANTITY, FeatureType.RANGE}
    return (
        baseline is not None and candidate is not None and baseline.type is candidate.type and baseline.type in numeric
    )


def are_equal(before: SideEntitlement, after: SideEntitlement) -> bool:
    """Return whether rules and the facts they read are equal on both sides."""
    baseline, candidate = before.feature, after.feature
    if (
        baseline is None
        or candidate is None
        or not read_numbers_alike(before, after)
        or (baseline.tags, baseline.unit) != (candidate.tags, candidate.unit)
    ):
        return False
    if [rule.policy.json for rule in before.rules] != [rule.policy.json for rule in after.rules]:
        return False
    if (
        before.facts is None
        or after.facts is None
        or (before.facts.total, before.total) != (after.facts.total, after.total)
    ):
        return False
    return before.active.refs == after.active.refs and before.flags == after.flags
