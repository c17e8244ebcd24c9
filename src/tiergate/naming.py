"""The only place that builds identifiers which cross a boundary: ids, entity UIDs, policy ids, revisions."""

from __future__ import annotations

import hashlib
import re

__all__ = [
    "ID",
    "ID_RULE",
    "content_hash",
    "is_id",
    "item_ref",
    "item_uid",
    "policy_id",
    "revision",
    "rule_id",
    "version_ref",
]

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What every id looks like (design, section 1)."""

ID_RULE = "must be 1 to 100 letters, digits, `.`, `_` or `-`, the first a letter or digit"


def is_id(text: str) -> bool:
    """Say whether `text` is a valid id."""
    return ID.fullmatch(text) is not None


def item_ref(kind: str, item: str) -> str:
    """`plan/pro`: an item with its kind."""
    return f"{kind}/{item}"


def version_ref(kind: str, item: str, version: int) -> str:
    """`plan/pro@7`: one version of an item."""
    return f"{kind}/{item}@{version}"


def policy_id(version: str, feature: str) -> str:
    """`plan/pro@7/seats`: the permit that an item version gives for a feature."""
    return f"{version}/{feature}"


def rule_id(file: str, rule: str) -> str:
    """`rule/<file>/<id>`: a rule of the users' own; `file` without its ending."""
    return f"rule/{file}/{rule}"


def item_uid(ref: str) -> dict[str, str]:
    """The Cedar UID of `plan/pro` or `plan/pro@7`, as JSON."""
    return {"type": "Item", "id": ref}


def content_hash(content: bytes) -> str:
    """`sha256:<hex>` of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def revision(manifest: bytes) -> str:
    """The revision of a bundle: the hash of its canonical manifest without the revision."""
    return content_hash(manifest)
