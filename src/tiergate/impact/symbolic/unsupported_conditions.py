"""What a condition reads that is not compared, in words for its author."""

from __future__ import annotations

import json
from typing import Final

_OF_SUBJECT: Final = {"tags": "reads the tags of the subject", "customer": "reads the id of the customer"}


def describe_unsupported(text: str) -> str:
    """Say what a condition, in Cedar's JSON, reads."""
    stack = [json.loads(text)]
    found = []
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if "getTag" in node or "hasTag" in node:
                found.append("reads attributes of the subject, or what an item gives")
            for op in (".", "has"):
                access = node.get(op)
                if isinstance(access, dict) and access.get("left") == {"Var": "context"}:
                    found.append(f"reads `context.{access['attr']}`")
                elif isinstance(access, dict) and access.get("left") == {"Var": "principal"}:
                    found.append(_OF_SUBJECT.get(access["attr"], f"reads `principal.{access['attr']}`"))
                elif isinstance(access, dict) and access.get("left") == {"Var": "resource"}:
                    found.append(f"reads `resource.{access['attr']}`")
            if "__entity" in node:
                found.append(f"""tests for `{node["__entity"]["type"]}::"{node["__entity"]["id"]}"`""")
            stack.extend(node.values())
    return min(found, default="is more than a comparison with constants", key=len)
