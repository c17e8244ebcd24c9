"""Records, for each case that passed, the targets without which it would have failed.

It decides the case again with a target mutated, and compares the result with the expectation: only what a case expects
is covered. A covered target is not tried again, so well tested catalogs cost little. Leaves to others: which targets
there are (`target_sets`), what the marks amount to (`coverage_result`).

INVARIANT (honest): a target is marked only if a case was decided with it mutated, and came out wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tiergate.engine.explanation.what_if import changed_evaluator
from tiergate.model import Reason
from tiergate.policytest.coverage.coverage_result import Coverage, measure_coverage
from tiergate.policytest.coverage.target_sets import CatalogTargets, RoleTargets
from tiergate.policytest.coverage.targets import Aspect, Target
from tiergate.policytest.environments import EntitlementEnvironment, RoleEnvironment
from tiergate.policytest.expectation_comparison import compare_decision, compare_permission
from tiergate.policytest.suites import PermissionQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiergate.engine import BundleSource, Evaluation, Evaluator
    from tiergate.model import Value
    from tiergate.permissions import Permission
    from tiergate.policytest.compilation_cache import CompiledCatalog
    from tiergate.policytest.environments import Environment
    from tiergate.policytest.results import Mismatch
    from tiergate.policytest.suites import Case


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
        for ref in evaluation.facts.givers:
            for target, value in target_set.entitlement_targets(ref, feature):
                if target not in self._covered:
                    bundle = MutatedBundle(environment.bundle, ref, feature.id, value)
                    evaluator = changed_evaluator(environment.engine, bundle=bundle)
                    self._try(target_set, target, case, evaluator, evaluation)
        for target in _tried_targets(target_set, case, evaluation):
            if target not in self._covered:
                evaluator = changed_evaluator(environment.engine, slices=target_set.slices(target))
                self._try(target_set, target, case, evaluator, evaluation)

    def _try(
        self, target_set: CatalogTargets, target: Target, case: Case, mutated: Evaluator, evaluation: Evaluation
    ) -> None:
        decision = mutated.evaluate(evaluation.check, evaluation.now).decision
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
        elif target.aspect is not Aspect.CONDITION:
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


class MutatedBundle:
    """A bundle in which `ref` grants `value` of `feature`, or nothing for `None`."""

    def __init__(self, base: BundleSource, ref: str, feature: str, value: Value | None) -> None:
        self.revision, self.index = base.revision, base.index
        self.text, self.paths = base.text, base.paths
        self._base = base
        self._ref = ref
        self._feature = feature
        self._value = value

    def definition(self, ref: str) -> Mapping[str, Value]:
        """Return the entitlements of `plan/pro@7`."""
        entitlements = self._base.definition(ref)
        return entitlements if ref != self._ref else _Definition(entitlements, self._feature, self._value)


class _Definition(Mapping[str, "Value"]):
    """A definition except for one feature. Nothing is copied: it may have thousands of others."""

    def __init__(self, base: Mapping[str, Value], feature: str, value: Value | None) -> None:
        self._base = base
        self._feature = feature
        self._value = value

    def __getitem__(self, feature: str) -> Value:
        if feature != self._feature:
            return self._base[feature]
        if self._value is None:
            raise KeyError(feature)
        return self._value

    def __iter__(self) -> Iterator[str]:
        return (feature for feature in self._base if feature != self._feature or self._value is not None)

    def __len__(self) -> int:
        return len(self._base) - (self._value is None)
