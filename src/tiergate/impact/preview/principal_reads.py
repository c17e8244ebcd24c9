"""Find whether a rule can distinguish one subject from another by its id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiergate.engine.slices import StaticPolicy


def distinguishes_subjects(rule: StaticPolicy) -> bool:
    """Return whether a rule can distinguish subjects by their ids; true if in doubt."""
    if any(reference.uid.type in {"Customer", "Subscription", "User"} for reference in rule.policy.references()):
        return True
    return _reads_principal(rule.policy.json["conditions"])


def _reads_principal(tree: object) -> bool:
    """Return whether conditions read more of the principal than tags, attributes and items."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if node == {"Var": "principal"}:
                return True
            stack.extend(value for name, value in node.items() if not _is_harmless(name, value))
    return False


def _is_harmless(name: str, value: object) -> bool:
    """Return whether an expression reads what is equal within a group."""
    if not isinstance(value, dict):
        return False
    if value.get("left") != {"Var": "principal"}:
        return False
    if name in {".", "has"}:
        return value.get("attr") == "tags"
    if name in {"getTag", "hasTag", "in"}:
        return '"Var"' not in json.dumps(value.get("right"))
    return name == "is"
