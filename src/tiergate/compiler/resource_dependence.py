"""Whether role policies can tell two resources of the same type apart, for one caller.

Where they cannot, the permission for one resource is the permission for all resources of its type. This reads only what
it can read exactly, and answers "yes" about everything else:

- A policy whose principal must be in a role that the caller does not have never applies.
- `when { principal has x && … }` never holds if the caller has no attribute `x`, whatever follows it.
- `resource is T` reads only the type. Every other use of `resource` can depend on more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiergate.cedar import ScopeOp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tiergate.cedar import Policy, Scope

_PRINCIPAL = {"Var": "principal"}
_RESOURCE = {"Var": "resource"}


def tells_resources_apart(policies: Iterable[Policy], roles: Collection[str], attributes: Collection[str]) -> bool:
    """Return whether the result for a caller can depend on more of the resource than its type.

    `roles`: all roles of the caller; `attributes`: the names of all its attributes.
    """
    return any(
        _may_apply_to(policy.principal, roles)
        and (_names_resources(policy.resource) or _conditions_read_resource(policy.json["conditions"], attributes))
        for policy in policies
    )


def _may_apply_to(principal: Scope, roles: Collection[str]) -> bool:
    """Return whether a caller with these roles can be in the scope; it has no other ancestors."""
    if principal.op is not ScopeOp.IN or any(uid.type != "Role" for uid in principal.entities):
        return True
    return any(uid.id in roles for uid in principal.entities)


def _names_resources(resource: Scope) -> bool:
    return resource.op is not ScopeOp.ANY and not (resource.op is ScopeOp.IS and not resource.entities)


def _conditions_read_resource(conditions: list[dict[str, Any]], attributes: Collection[str]) -> bool:
    for condition in conditions:  # Cedar evaluates them in this order, up to the first that does not hold
        if condition["kind"] == "when" and _is_false(condition["body"], attributes):
            return False
        if _reads_resource(condition["body"]):
            return True
    return False


def _is_false(expression: dict[str, Any], attributes: Collection[str]) -> bool:
    """Return whether an expression is certainly false for a caller with these attributes."""
    both = expression.get("&&")
    if both is not None:
        return _is_false(both["left"], attributes)
    test = expression.get("has")
    return test is not None and test["left"] == _PRINCIPAL and test["attr"] not in attributes


def _reads_resource(tree: object) -> bool:
    if isinstance(tree, list):
        return any(_reads_resource(part) for part in tree)
    if not isinstance(tree, dict):
        return False
    if tree == _RESOURCE:
        return True
    test = tree.get("is")
    if isinstance(test, dict) and test.get("left") == _RESOURCE and "in" not in test:
        return False
    return any(_reads_resource(part) for part in tree.values())
