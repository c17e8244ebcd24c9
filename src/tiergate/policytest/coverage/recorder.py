"""Records, for each case that passed, the targets without which it would have failed.

It decides the case again with a target mutated, and compares the result with the expectation: only what a case expects
is covered. A covered target is not tried again, so well tested catalogs cost little. Leaves to others: which targets
there are (`target_sets`), what the marks amount to (`coverage_result`).

INVARIANT (honest): a target is marked only if a case was decided with it mutated, and came out wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.engine.explanation.what_if import changed_evaluator
from tiergate.errors import CheckError
from tiergate.model import Reason
from tiergate.policytest.coverage.coverage_result import Coverage, measure_coverage
from tiergate.policytest.coverage.mutated_engines import with_value
from tiergate.policytest.coverage.target_sets import CatalogTargets, RoleTargets
from tiergate.policytest.coverage.targets import Aspect, Target
from tiergate.policytest.environments import EntitlementEnvironment, RoleEnvironment
from tiergate.policytest.expectation_comparison import compare_decision, compare_permission
from tiergate.policytest.results import Mismatch
from tiergate.policytest.suites import PermissionQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.engine import Evaluation, Evaluator
    from tiergate.model import Feature
    from tiergate.permissions import Permission
    from tiergate.policytest.compilation_cache import CompiledCatalog
    from tiergate.policytest.environments import Environment
    from tiergate.policytest.suites import Case


_UNUSED = frozenset({Aspect.CONDITION, Aspect.PART})
"""What a case does not use because it was tried: the rule may not apply to it."""
_UNFORBIDDEN = frozenset({Reason.NOT_ENTITLED, Reason.LIMIT_REACHED, Reason.OUT_OF_RANGE, Reason.LEVEL_TOO_LOW})


class Recorder:
    """Observes a run, and returns its coverage. A case is observed before the next one is decided."""

    def __init__(self, environments: Iterable[Environment]) -> None:
        """Find the targets in all environments of the suites, even if their tests are not run."""
        self._catalogs: dict[CompiledCatalog, CatalogTargets] = {}
        self._tables: dict[tuple[str, str], RoleTargets] = {}
        self._covered: dict[Target, Case] = {}
        self._reached: dict[Target, Case] = {}
        for environment in environments:
            match environment:
                case EntitlementEnvironment():
                    self._catalog(environment)
                case RoleEnvironment():
                    self._table(environment)
                case _:
                    pass

    def coverage(self, *, shipped: bool = False) -> Coverage:
        """Return the coverage so far; with `shipped`, what comes with Tiergate counts too."""
        target_sets: list[CatalogTargets | RoleTargets] = [*self._catalogs.values(), *self._tables.values()]
        return measure_coverage(target_sets, self._covered, self._reached, shipped=shipped)

    def entitlement(self, environment: EntitlementEnvironment, case: Case, evaluation: Evaluation) -> None:
        """Try the targets that a decision used."""
        if evaluation.facts is None or evaluation.slice is None:
            return
        if compare_decision(case.expected, evaluation.decision):
            return
        target_set, feature = self._catalog(environment), evaluation.facts.feature
        engine = environment.engine
        for ref in evaluation.facts.givers:
            for target, value in target_set.entitlement_targets(ref, feature):
                if target not in self._covered:
                    self._try(target_set, target, case, with_value(engine, ref, feature.id, value), evaluation)
        for target in _tried_targets(target_set, case, evaluation):
            if target not in self._covered:
                evaluator = changed_evaluator(engine, slices=target_set.slices(target))
                self._try(target_set, target, case, evaluator, evaluation)
        for target in target_set.catalog_targets(_involved_features(feature), _involved_items(evaluation)):
            if target not in self._covered:
                self._try(target_set, target, case, target_set.mutated_engine(environment, target), evaluation)

    def _try(
        self, target_set: CatalogTargets, target: Target, case: Case, mutated: Evaluator, evaluation: Evaluation
    ) -> None:
        try:
            decision = mutated.evaluate(evaluation.check, evaluation.now).decision
        except CheckError as error:  # a level or a number that there is no more
            self._mark(target_set, target, case, (Mismatch("check", "", error.detail),))
            return
        self._mark(target_set, target, case, compare_decision(case.expected, decision))

    def permission(self, environment: RoleEnvironment, case: Case, permission: Permission) -> None:
        """Try the targets that the result of a role table used."""
        if not isinstance(case.query, PermissionQuery):
            return
        if permission.errors or compare_permission(case.expected, permission):
            return
        target_set = self._table(environment)
        deciding = set(permission.policies)
        for target in target_set.targets:
            fits = (target.id in deciding) == (target.aspect is Aspect.DECIDES)
            if fits and target not in self._covered:
                query = case.query
                mutated = target_set.otherwise(target).allows(query.caller, query.action, query.resource)
                self._mark(target_set, target, case, compare_permission(case.expected, mutated))

    def _mark(
        self, target_set: CatalogTargets | RoleTargets, target: Target, case: Case, mismatches: tuple[Mismatch, ...]
    ) -> None:
        """Mark a target that a case tried, with the mismatches when it is mutated."""
        if mismatches:
            self._covered[target] = case
            target_set.close(target)
        elif target.aspect not in _UNUSED:
            self._reached.setdefault(target, case)

    def _catalog(self, environment: EntitlementEnvironment) -> CatalogTargets:
        if environment.compiled not in self._catalogs:
            self._catalogs[environment.compiled] = CatalogTargets(environment)
        return self._catalogs[environment.compiled]

    def _table(self, environment: RoleEnvironment) -> RoleTargets:
        key = (environment.file, environment.roles.text)
        if key not in self._tables:
            self._tables[key] = RoleTargets(environment)
        return self._tables[key]


def _involved_features(feature: Feature) -> Iterator[str]:
    """Yield the features that a check of one rests on: itself, and what it draws on."""
    yield feature.id
    if feature.draws is not None:
        yield feature.draws.source


def _involved_items(evaluation: Evaluation) -> set[str]:
    """Return the items that a subject has, even if they do not count now."""
    record = evaluation.record
    subscriptions = () if record is None else record.subscriptions
    return {held.item for subscription in subscriptions for held in subscription.items}


def _tried_targets(target_set: CatalogTargets, case: Case, evaluation: Evaluation) -> Iterator[Target]:
    """Yield the policy targets that could affect a decision.

    Removing a policy that did not decide changes nothing, nor does removing a condition of one that decided; permits
    and reasons change nothing if something forbids. If a policy fails, none decides.
    """
    decision, expected = evaluation.decision, case.expected
    if decision.errors:
        return
    deciding = set(decision.policies)
    is_unforbidden = decision.reason in _UNFORBIDDEN
    names = [entry.id for entry in evaluation.slice.static] if evaluation.slice is not None else []
    for target in target_set.part_targets(names):
        yield target
    for name in names + (target_set.reasons if is_unforbidden else []):
        for target in target_set.policy_targets(name):
            if target.aspect is Aspect.DECIDES:
                if name in deciding:
                    yield target
            elif name not in deciding and (
                is_unforbidden
                or target_set.effect(name) == "forbid"
                or (decision.allowed and expected.policies is not None)
            ):
                yield target
