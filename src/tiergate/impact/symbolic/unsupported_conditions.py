"""Describe why a condition cannot be compared, for its author."""

from __future__ import annotations

import json
from typing import Final

_OF_SUBJECT: Final = {"tags": "reads the tags of the subject", "customer": "reads the id of the customer"}


def describe_unsupported(text: str) -> str:
    """Return what a condition, in Cedar's JSON, reads that is not compared."""
    stack = [json.loads(text)]
    result = []
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if "getTag" in node or "hasTag" in node:
                result.append("reads attributes of the subject, or what an item grants")
            for op in (".", "has"):
                access = node.get(op)
                if isinstance(access, dict) and access.get("left") == {"Var": "context"}:
                    result.append(f"reads `context.{access['attr']}`")
                elif isinstance(access, dict) and access.get("left") == {"Var": "principal"}:
                    result.append(_OF_SUBJECT.get(access["attr"], f"reads `principal.{access['attr']}`"))
                elif isinstance(access, dict) and access.get("left") == {"Var": "resource"}:
                    result.append(f"reads `resource.{access['attr']}`")
            if "__entity" in node:
                result.append(f"""tests for `{node["__entity"]["type"]}::"{node["__entity"]["id"]}"`""")
            stack.extend(node.values())
    return min(result, default="is more than a comparison with constants", key=len)
