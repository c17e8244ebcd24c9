"""The recorder: for each case that passed, which units it would have failed without.

It decides the case again as it would be if a unit were otherwise, and holds the answer against what the case expects:
only what a case states or tells apart is covered. What is covered once is not tried again, so that well tested
catalogs cost little. Leaves to others: which targets there are (`target_sets`), what the marks amount to (`measure`).

INVARIANT (honest): a unit is marked only where a case was decided with it otherwise, and came out wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.engine.explanation.what_if import changed_engine
from tiergate.model import Reason
from tiergate.policytest.coverage.coverage_result import Coverage, measure_coverage
from tiergate.policytest.coverage.mutated_bundle import MutatedBundle
from tiergate.policytest.coverage.target_sets import CatalogTargets, RoleTargets
from tiergate.policytest.coverage.targets import Aspect, Target
from tiergate.policytest.environments import EntitlementEnvironment, RoleEnvironment
from tiergate.policytest.expectation_comparison import compare_decision, compare_permission
from tiergate.policytest.suites import PermissionQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.engine import Evaluation
    from tiergate.permissions import Permission
    from tiergate.policytest.environments import CompiledCatalog, Environment
    from tiergate.policytest.results import Mismatch
    from tiergate.policytest.suites import Case

_UNFORBIDDEN = frozenset({Reason.NOT_ENTITLED, Reason.LIMIT_REACHED, Reason.OUT_OF_RANGE, Reason.LEVEL_TOO_LOW})


class Recorder:
    """Observes a run, and knows afterwards what it covered. A case is told before the next one is decided."""

    def __init__(self, worlds: Iterable[Environment]) -> None:
        """Find what there is to cover: in all the worlds of the suites, whether or not their tests are run."""
        self._catalogs: dict[CompiledCatalog, CatalogTargets] = {}
        self._tables: dict[tuple[str, str], RoleTargets] = {}
        self._covered: dict[Target, Case] = {}
        self._reached: dict[Target, Case] = {}
        for world in worlds:
            match world:
                case EntitlementEnvironment():
                    self._catalog(world)
                case RoleEnvironment():
                    self._table(world)
                case _:
                    pass

    def coverage(self, *, shipped: bool = False) -> Coverage:
        """What was covered until now; with `shipped`, what comes with Tiergate counts, too."""
        grounds: list[CatalogTargets | RoleTargets] = [*self._catalogs.values(), *self._tables.values()]
        return measure_coverage(grounds, self._covered, self._reached, shipped=shipped)

    def entitlement(self, world: Environment, case: Case, evaluation: Evaluation) -> None:
        """Try what the decision of a check rested on."""
        if not isinstance(world, EntitlementEnvironment) or evaluation.facts is None or evaluation.slice is None:
            return
        if compare_decision(case.expected, evaluation.decision):
            return
        ground, feature = self._catalog(world), evaluation.facts.feature
        for ref in evaluation.facts.givers:
            for unit, value in ground.entitlement_units(ref, feature):
                if unit not in self._covered:
                    bundle = MutatedBundle(world.bundle, ref, feature.id, value)
                    other = changed_engine(world.engine, bundle=bundle).evaluate(evaluation.check, evaluation.now)
                    self._mark(ground, unit, case, compare_decision(case.expected, other.decision))
        for unit in _in_question(ground, case, evaluation):
            if unit not in self._covered:
                other = changed_engine(world.engine, slices=ground.slices(unit)).evaluate(
                    evaluation.check, evaluation.now
                )
                self._mark(ground, unit, case, compare_decision(case.expected, other.decision))

    def permission(self, world: Environment, case: Case, permission: Permission) -> None:
        """Try what the answer of a table of roles rested on."""
        if not isinstance(world, RoleEnvironment) or not isinstance(case.question, PermissionQuery):
            return
        if permission.errors or compare_permission(case.expected, permission):
            return
        ground = self._table(world)
        deciding = set(permission.policies)
        for unit in ground.units:
            fits = (unit.id in deciding) == (unit.aspect is Aspect.DECIDES)
            if fits and unit not in self._covered:
                asked = case.question
                other = ground.otherwise(unit).allows(asked.caller, asked.action, asked.resource)
                self._mark(ground, unit, case, compare_permission(case.expected, other))

    def _mark(
        self, ground: CatalogTargets | RoleTargets, unit: Target, case: Case, mismatches: tuple[Mismatch, ...]
    ) -> None:
        """Mark a unit that a case tried, and would have failed without in these ways."""
        if mismatches:
            self._covered[unit] = case
            ground.close(unit)
        elif unit.aspect is not Aspect.CONDITION:
            self._reached.setdefault(unit, case)

    def _catalog(self, world: EntitlementEnvironment) -> CatalogTargets:
        if world.compiled not in self._catalogs:
            self._catalogs[world.compiled] = CatalogTargets(world)
        return self._catalogs[world.compiled]

    def _table(self, world: RoleEnvironment) -> RoleTargets:
        key = (world.file, world.roles.text)
        if key not in self._tables:
            self._tables[key] = RoleTargets(world)
        return self._tables[key]


def _in_question(ground: CatalogTargets, case: Case, evaluation: Evaluation) -> Iterator[Target]:
    """The units of policies that could have to do with a decision.

    A policy that did not decide changes nothing by not being there, nor one that decided by a condition less; and what
    permits, or tells a reason, changes nothing where something forbids. Where one cannot be evaluated, none decided.
    """
    decision, expected = evaluation.decision, case.expected
    if decision.errors:
        return
    deciding = set(decision.policies)
    is_unforbidden = decision.reason in _UNFORBIDDEN
    names = [entry.id for entry in evaluation.slice.static] if evaluation.slice is not None else []
    for name in names + (ground.reasons if is_unforbidden else []):
        for unit in ground.policy_units(name):
            if unit.aspect is Aspect.DECIDES:
                if name in deciding:
                    yield unit
            elif name not in deciding and (
                is_unforbidden
                or ground.effect(name) == "forbid"
                or (decision.allowed and expected.policies is not None)
            ):
                yield unit
