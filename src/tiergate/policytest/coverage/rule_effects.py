"""Whether a mutation of a rule can be shown by any check: whether the rule would apply, or fail, where it did not.

A `forbid` that applies is always among the deciding policies, a `permit` where nothing forbids. INVARIANT (no unit
without effect): only what is proved to change nothing is left out; what cannot be analyzed counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.impact.rule_set import policy_concerns
from tiergate.impact.symbolic.condition_reader import read_policy
from tiergate.impact.symbolic.formulas import Formula, both, either, negated
from tiergate.impact.symbolic.integer_solver import NONE
from tiergate.impact.symbolic.possible_cases import find_case
from tiergate.impact.symbolic.symbolic_context import BundleEntities, SymbolicContext

if TYPE_CHECKING:
    from tiergate.cedar import Policy
    from tiergate.engine import BundleSource
    from tiergate.engine.slices import PolicySlices


class RuleEffects:
    """The rules of one bundle, and what mutations of them would change."""

    def __init__(self, bundle: BundleSource, slices: PolicySlices) -> None:
        self._data = BundleEntities(bundle)
        self._slices = slices
        self._forbidden: dict[str, Formula] = {}

    def has_effect(self, policy: Policy, mutated: Policy) -> bool:
        """Return whether some check might show a mutation of a rule."""
        for feature in self._data.index.features.values():
            if not (policy_concerns(policy, feature) or policy_concerns(mutated, feature)):
                continue
            scene = SymbolicContext(self._data, feature)
            before, after = read_policy(policy, scene), read_policy(mutated, scene)
            differs = either(_differs(before.true, after.true), _differs(before.errs, after.errs))
            if policy.effect == "permit":
                differs = both(differs, negated(self._forbids(scene)))
            if find_case(differs, scene) is not NONE:
                return True
        return False

    def _forbids(self, scene: SymbolicContext) -> Formula:
        """Return when a guard or a rule forbids a check of a feature."""
        id_ = scene.feature.id
        if id_ not in self._forbidden:
            found: Formula = False
            for static in self._slices.static:
                if static.policy.effect == "forbid":
                    found = either(found, read_policy(static.policy, scene).true)
            self._forbidden[id_] = found
        return self._forbidden[id_]


def _differs(one: Formula, other: Formula) -> Formula:
    return either(both(one, negated(other)), both(other, negated(one)))
