"""Why a case came out as it did: sentences for those that failed, made only for these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiergate.engine import explanation_sentences
from tiergate.errors import TiergateError

if TYPE_CHECKING:
    from tiergate.cedar import CedarResult
    from tiergate.permissions import Permission
    from tiergate.policytest.environments import EntitlementEnvironment
    from tiergate.policytest.suites import EntitlementQuery, PermissionQuery


def why_decided(world: EntitlementEnvironment, asked: EntitlementQuery) -> tuple[str, ...]:
    """What a decision rested on: the numbers, what gave them, and which policies decided."""
    try:
        explanation = world.explain(asked)
    except TiergateError as error:
        return (str(error),)
    subject = asked.check.subject
    feature = world.index.features[asked.check.feature]
    reported = explanation_sentences(explanation, feature, world.subjects.find(subject), subject)
    policies = explanation.decision.policies
    return (*reported, f"Decided {_by(policies)}.") if policies else reported


def why_permitted(asked: PermissionQuery, permission: Permission) -> tuple[str, ...]:
    """Which rows of a table of roles decided, for a caller of which roles."""
    roles = ", ".join(f"`{role}`" for role in sorted(asked.caller.roles)) or "no role"
    verdict = "is allowed" if permission.allowed else "is denied"
    what = f"`{asked.action}` on {asked.resource.type} `{asked.resource.id}`"
    first = f"{what} {verdict} to a {asked.caller.kind} with {roles}, {_by(permission.policies)}."
    return (first, *(f"What went wrong: {error}." for error in permission.errors))


def why_evaluated(outcome: CedarResult) -> tuple[str, ...]:
    """Which policies decided."""
    verdict = "allows" if outcome.allowed else "denies"
    first = f"Cedar {verdict} this, {_by(outcome.policies)}."
    return (first, *(f"What went wrong: {error}." for error in outcome.errors))


def _by(policies: tuple[str, ...]) -> str:
    return "by " + ", ".join(f"`{policy}`" for policy in policies) if policies else "since no policy permits it"
