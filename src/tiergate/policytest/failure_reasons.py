"""The sentences that explain why a case was decided as it was. They are made for failed cases only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.engine import explanation_sentences

if TYPE_CHECKING:
    from tiergate.cedar import CedarResult
    from tiergate.engine import Explanation
    from tiergate.model import Feature, Subject, SubjectRecord
    from tiergate.permissions import Permission
    from tiergate.policytest.suites import PermissionQuery


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
