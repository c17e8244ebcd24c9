"""The policies of one side for the checks of a feature, as formulas: when each reason is given.

Facts are free: both sides are compared on the same facts. `exhaustive_diff` finds changed facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tiergate.impact.symbolic.condition_reader import read_conditions, read_policy
from tiergate.impact.symbolic.formulas import Atom, Formula, at_most, atoms, both, either, negated
from tiergate.model import FeatureType, Reason
from tiergate.model.checks import REASON_PRECEDENCE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiergate.engine.slices import StaticPolicy
    from tiergate.impact.symbolic.formulas import Truth
    from tiergate.impact.symbolic.symbolic_context import SymbolicContext

_DENIED = ""
"""Denied although nothing forbids: the facts define the reason, alike on both sides."""


class ReasonFormulas(NamedTuple):
    """When each reason is given: `evaluation_error`, those of guards and rules, `granted`, or none of these.

    `of_rules`: the rules that were read, each with when it applies and fails.
    """

    reasons: dict[str, Formula]
    of_rules: dict[str, Truth]

    def formulas(self) -> Iterable[Formula]:
        """Return all formulas."""
        return self.reasons.values()


def read_reason_formulas(
    statics: Iterable[StaticPolicy], template: StaticPolicy, scene: SymbolicContext
) -> ReasonFormulas:
    """Read the policies that can apply to the checks of a feature.

    `statics`: guards, permits of overrides, and rules. `template`: of the permits of items.
    """
    errs: Formula = False
    forbidden: dict[str, Formula] = {}
    permitted: Formula = False
    of_rules: dict[str, Truth] = {}
    for static in statics:
        result = read_policy(static.policy, scene)
        if static.rule and (result.true is not False or result.errs is not False):
            of_rules[static.id] = result
        errs = either(errs, result.errs)
        if static.policy.effect == "permit":
            permitted = either(permitted, result.true)
        else:
            reason = static.reason.value
            forbidden[reason] = either(forbidden.get(reason, False), result.true)
    given = scene.fact("given")
    if given is not None:
        # A version that gives it permits it to every principal in it; where items contribute, there is such a version.
        result = read_conditions(template.policy, scene)
        permitted = either(permitted, both(given, result.true))
        errs = either(errs, both(given, result.errs))
    reasons: dict[str, Formula] = {Reason.EVALUATION_ERROR.value: errs}
    open_: Formula = negated(errs)
    for reason in sorted(forbidden, key=lambda it: REASON_PRECEDENCE[Reason(it)]):
        reasons[reason] = both(open_, forbidden[reason])
        open_ = both(open_, negated(forbidden[reason]))
    reasons[Reason.GRANTED.value] = both(open_, permitted)
    reasons[_DENIED] = both(open_, negated(permitted))
    return ReasonFormulas(reasons, of_rules)


def possible_facts(scene: SymbolicContext) -> Formula:
    """Return what holds for all facts: it excludes cases that no subject can be in."""
    facts = {name: scene.fact(name) for name in ("live", "held", "given", "overridden", "unlimited")}
    live, held, given, overridden, unlimited = facts.values()
    whole: Formula = True

    def implies(premise: Formula | None, conclusion: Formula | None) -> None:
        nonlocal whole
        if premise is not None and conclusion is not None:
            whole = both(whole, either(negated(premise), conclusion))

    if given is None or overridden is None or held is None:
        return whole
    implies(given, live)
    name = {FeatureType.QUANTITY: "limit", FeatureType.RANGE: "limit", FeatureType.CUSTOM: "heldRank"}.get(
        scene.feature.type
    )
    number = None if name is None else scene.number(name)
    if not scene.is_metered:
        implies(held, either(given, overridden))
    if number is None:
        return whole
    if scene.is_metered:
        whole = both(whole, _possible_limits(scene, either(given, overridden)))
    some = negated(at_most(number, 0))
    if unlimited is None:
        implies(held, some)
        implies(some, held)
        return whole
    implies(unlimited, at_most(number, 0))
    implies(held, either(unlimited, some))
    implies(either(unlimited, some), held)
    return whole


def possible_memberships(formulas: Iterable[Formula]) -> Formula:
    """Return the formula that members of an item version are members of the item, as far as formulas name both."""
    found: Formula = True
    listed = {atom for formula in formulas for atom in atoms(formula) if atom.about[0] == "item"}
    for entry in sorted(listed, key=repr):
        _, ref, label = entry.about
        item, at, _ = str(ref).rpartition("@")
        whole = Atom(("item", item, label), test=True)
        if at and whole in listed:
            found = both(found, either(negated(entry), whole))
    return found


def _possible_limits(scene: SymbolicContext, contributed: Formula) -> Formula:
    """Return what holds for the limits of a metered feature: allowance, limit with grants, ceiling."""
    limit, allowance, ceiling = (scene.number(name) for name in ("limit", "allowance", "ceiling"))
    held, soft = scene.fact("held"), scene.fact("soft")
    if limit is None or allowance is None or ceiling is None or held is None or soft is None:
        return True
    no_grants = at_most(limit.plus(allowance, -1), 0)
    whole = both(at_most(allowance.plus(limit, -1), 0), at_most(limit.plus(ceiling, -1), 0))
    whole = both(whole, either(soft, at_most(ceiling.plus(limit, -1), 0)))
    whole = both(whole, either(negated(held), either(contributed, negated(no_grants))))
    unlimited = scene.fact("unlimited")
    return whole if unlimited is None else both(whole, either(negated(unlimited), at_most(ceiling, 0)))
