"""Environments: each decides the cases of one suite and compares the results with the expectations.

The runner knows only `Environment.run`; coverage and the Cedar export also use what an environment consists of.
"""

from __future__ import annotations

from functools import cached_property
from time import perf_counter_ns
from typing import TYPE_CHECKING, Protocol, TypeVar

from tiergate.cedar import authorize_request
from tiergate.engine import Evaluator, explain, explanation_sentences
from tiergate.engine.feature_status import FeatureStatuses, fixed_status
from tiergate.engine.fixed_sources import FixedUsage
from tiergate.errors import CallerError, TiergateError
from tiergate.model import MeteredUsage
from tiergate.policytest.expectation_comparison import compare_decision, compare_outcome, compare_permission
from tiergate.policytest.results import CaseResult, Status
from tiergate.policytest.suites import CedarQuery, EntitlementQuery, PermissionQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiergate.cedar import CedarResult, PolicyGroup, Schema
    from tiergate.engine import Evaluation, Explanation
    from tiergate.model import CatalogIndex, Decision, Feature, Subject, SubjectRecord
    from tiergate.permissions import Permission, RolePolicies
    from tiergate.policytest.compilation_cache import CompiledCatalog
    from tiergate.policytest.results import Mismatch
    from tiergate.policytest.subject_fixtures import SubjectFixtures
    from tiergate.policytest.suites import Case


_NO_USAGE = MeteredUsage()
_Query = TypeVar("_Query", EntitlementQuery, PermissionQuery, CedarQuery)


class Observer(Protocol):
    """Is notified of every decided case, before the next one is decided. Coverage is one."""

    def entitlement(self, environment: EntitlementEnvironment, case: Case, evaluation: Evaluation) -> None:
        """A check was decided."""
        ...

    def permission(self, environment: RoleEnvironment, case: Case, permission: Permission) -> None:
        """A role table was evaluated."""
        ...


class Environment(Protocol):
    """Decides the cases of one suite."""

    def run(self, case: Case, observers: Sequence[Observer] = ()) -> CaseResult:
        """Decide a case, compare the answer with its expectation and notify the observers.

        Raises:
            TypeError: if the case is of another kind than its suite.
        """
        ...


class EntitlementEnvironment:
    """A compiled catalog with rules, and the subjects of a suite."""

    def __init__(self, key: str, compiled: CompiledCatalog, subjects: SubjectFixtures) -> None:
        self.key = key
        self.compiled = compiled
        self.subjects = subjects
        self.bundle = compiled.bundle
        self.index: CatalogIndex = compiled.bundle.index
        self._usage = FixedUsage()
        self._statuses = FeatureStatuses()

    @cached_property
    def engine(self) -> Evaluator:
        """The engine. Only `evaluate` and `explain` give it the usage and the status of a query."""
        return Evaluator(self.bundle, self.subjects, usage=self._usage, statuses=self._statuses)

    def run(self, case: Case, observers: Sequence[Observer] = ()) -> CaseResult:
        """Decide a check."""
        query = _query(case, EntitlementQuery)
        start = perf_counter_ns()
        try:
            evaluation = self.evaluate(query)
        except CallerError as error:
            return _error(case, error, start)
        mismatches = compare_decision(case.expected, evaluation.decision)
        elapsed = perf_counter_ns() - start
        for observer in observers:
            observer.entitlement(self, case, evaluation)
        return _result(case, evaluation.decision, mismatches, elapsed, lambda: self._reasons(query))

    def evaluate(self, query: EntitlementQuery) -> Evaluation:
        """Decide a check, and keep the inputs of the decision."""
        self._set(query)
        return self.engine.evaluate(query.check, query.now)

    def explain(self, query: EntitlementQuery) -> Explanation:
        """Decide and explain a check."""
        self._set(query)
        return explain(self.engine, query.check, query.now)

    def _set(self, query: EntitlementQuery) -> None:
        self._usage.usage = query.usage or _NO_USAGE
        self._statuses.replace(fixed_status(query.check.feature, query.status, query.now))

    def _reasons(self, query: EntitlementQuery) -> tuple[str, ...]:
        try:
            explanation = self.explain(query)
        except TiergateError as error:
            return (str(error),)
        subject = query.check.subject
        feature = self.index.features[query.check.feature]
        return explain_decision(explanation, feature, self.subjects.find(subject), subject)


class RoleEnvironment:
    """A role table; `file`: its path, empty for the shipped one."""

    def __init__(self, key: str, roles: RolePolicies, file: str = "") -> None:
        self.key = key
        self.roles = roles
        self.file = file

    def run(self, case: Case, observers: Sequence[Observer] = ()) -> CaseResult:
        """Decide whether a caller has a permission."""
        query = _query(case, PermissionQuery)
        start = perf_counter_ns()
        permission = self.allows(query)
        mismatches = compare_permission(case.expected, permission)
        elapsed = perf_counter_ns() - start
        for observer in observers:
            observer.permission(self, case, permission)
        return _result(case, permission, mismatches, elapsed, lambda: explain_permission(query, permission))

    def allows(self, query: PermissionQuery) -> Permission:
        """Evaluate the role table."""
        return self.roles.allows(query.caller, query.action, query.resource)


class CedarEnvironment:
    """Policies by themselves, with a schema if there is one; their ids are their `@id`, else their position."""

    def __init__(self, key: str, policies: PolicyGroup, schema: Schema | None) -> None:
        self.key = key
        self.policies = policies
        self.schema = schema

    def run(self, case: Case, observers: Sequence[Observer] = ()) -> CaseResult:  # noqa: ARG002 - no observer for Cedar
        """Evaluate a request as Cedar's command line does."""
        query = _query(case, CedarQuery)
        start = perf_counter_ns()
        try:
            outcome = authorize_request(
                self.policies, query.entities, self.schema, query.principal, query.action, query.resource, query.context
            )
        except ValueError as error:  # Cedar rejects the request or its entities
            return _error(case, error, start)
        mismatches = compare_outcome(case.expected, outcome)
        elapsed = perf_counter_ns() - start
        return _result(case, outcome, mismatches, elapsed, lambda: explain_outcome(outcome))


def _query(case: Case, kind: type[_Query]) -> _Query:
    if not isinstance(case.query, kind):
        message = f"the case `{case.name}` is of another kind than its suite"
        raise TypeError(message)
    return case.query


def _error(case: Case, error: Exception, start: int) -> CaseResult:
    return CaseResult(case, Status.ERROR, why=(str(error),), nanoseconds=perf_counter_ns() - start)


def _result(
    case: Case,
    actual: Decision | Permission | CedarResult,
    mismatches: tuple[Mismatch, ...],
    elapsed: int,
    explain_failure: Callable[[], tuple[str, ...]],
) -> CaseResult:
    if not mismatches:
        return CaseResult(case, Status.PASSED, actual=actual, nanoseconds=elapsed)
    return CaseResult(case, Status.FAILED, mismatches, explain_failure(), actual, elapsed)


def explain_decision(
    explanation: Explanation, feature: Feature, record: SubjectRecord | None, subject: Subject
) -> tuple[str, ...]:
    """Explain a decision: the numbers, their sources, and the policies that decided."""
    lines = explanation_sentences(explanation, feature, record, subject)
    policies = explanation.decision.policies
    return (*lines, f"Decided {_by(policies)}.") if policies else lines


def explain_permission(query: PermissionQuery, permission: Permission) -> tuple[str, ...]:
    """Name the caller's roles and the rows of the role table that decided."""
    roles = ", ".join(f"`{role}`" for role in sorted(query.caller.roles)) or "no role"
    verdict = "is allowed" if permission.allowed else "is denied"
    action = f"`{query.action}` on {query.resource.type} `{query.resource.id}`"
    first = f"{action} {verdict} to a {query.caller.kind} with {roles}, {_by(permission.policies)}."
    return (first, *map(_policy_error, permission.errors))


def explain_outcome(outcome: CedarResult) -> tuple[str, ...]:
    """Name the policies that decided."""
    verdict = "allows" if outcome.allowed else "denies"
    return (f"Cedar {verdict} this, {_by(outcome.policies)}.", *map(_policy_error, outcome.errors))


def _policy_error(error: str) -> str:
    return f"Evaluation error: {error}."


def _by(policies: tuple[str, ...]) -> str:
    return "by " + ", ".join(f"`{policy}`" for policy in policies) if policies else "since no policy permits it"
